#include "cli/context.h"

#include <nlohmann/json.hpp>
#include <signal.h>
#include <thread>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "cli/screen.h"
#include "registry/client.h"
#include "registry/images.h"
#include "registry/store/store.h"
#include "steps/sandbox.h"

namespace kiln::cli {

namespace {

// That sandboxes can be made is tried once after each start of the machine: trying is as dear as a step.
void check_sandboxes(const fs::path& folder) {
  const fs::path known = folder / "sandboxes-work";
  std::string now;
  try {
    now = read_file("/proc/sys/kernel/random/boot_id", 256) + " " + std::to_string(::geteuid());
    if (read_file(known, 256) == now) return;
  } catch (const Error&) {  // not tried yet
  }
  if (const std::string problem = steps::sandbox_problem(); !problem.empty())
    throw Error(ErrorKind::Infrastructure, problem, "`kiln doctor` shows what this machine can do");
  try {
    make_dirs(folder, 0700);
    write_file_atomic(known, now, 0600);
  } catch (const Error&) {  // whoever needs the folder says so
  }
}

}  // namespace

// A thread that does nothing but wait for signals; SIGUSR2 to it means "end".
struct Context::Signals {
  std::jthread thread;
  ~Signals() { ::pthread_kill(thread.native_handle(), SIGUSR2); }
};

Context::Context() = default;
Context::~Context() = default;

const Dirs& Context::dirs() {
  if (!dirs_) dirs_ = root.empty() ? Dirs::of_user() : Dirs::under(root);
  return *dirs_;
}

registry::Store& Context::store_to_read() {
  const fs::path root = dirs().store();
  if (!store_ && fs::exists(root / "index.json") && ::access(root.c_str(), W_OK) != 0)
    store_ = std::make_unique<registry::Store>(root, registry::Store::Folder::ReadOnly);
  return store();
}

registry::Store& Context::store() {
  if (store_) return *store_;
  try {
    store_ = std::make_unique<registry::Store>(dirs().store());
  } catch (const Error& error) {
    const Error said = error.because("the image store cannot be used");
    if (!said.hint().empty()) throw said;
    throw said.with_hint("let this user write there, or have kiln use another folder: --root DIR");
  }
  return *store_;
}

registry::Client& Context::client() {
  if (!client_) {
    registry::Client::Options options;
    options.blob_locations = dirs().cache / "blob-locations.json";
    client_ = std::make_unique<registry::Client>(std::move(options));
  }
  return *client_;
}

registry::Images& Context::images() {
  if (!images_) images_ = std::make_unique<registry::Images>(store(), client(), aliases);
  return *images_;
}

steps::SandboxRuntime& Context::runtime() {
  if (!runtime_) {
    if (sandbox == "native") check_sandboxes(dirs().runtime);
    runtime_ = steps::make_runtime(sandbox, dirs().runtime);
  }
  return *runtime_;
}

fs::path Context::server_file() {
  return dirs().state / "serve.json";
}

std::string Context::server_url() {
  if (!server.empty()) return server.find("://") == std::string::npos ? "http://" + server : server;
  const std::string url = of_server("url");
  return url.empty() ? "http://127.0.0.1:8080" : url;
}

std::string Context::server_certificate() {
  return server.empty() ? of_server("certificate") : std::string{};
}

std::string Context::of_server(const char* name) {
  try {
    return nlohmann::json::parse(read_file(server_file(), 64 << 10)).value(name, "");
  } catch (const Error&) {  // no server has run on these folders, or it ended in order
  } catch (const nlohmann::json::exception&) {
  }
  return {};
}

void Context::catch_interrupts() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR2}) sigaddset(&set, number);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signals_ = std::make_unique<Signals>();
  signals_->thread = std::jthread([this, set] {
    for (;;) {
      int number = 0;
      if (::sigwait(&set, &number) != 0 || number == SIGUSR2) return;
      if (!orderly_ || kill_.stop_requested()) {
        restore_terminal();
        ::_exit(128 + number);
      }
      if (stop_.stop_requested()) kill_.request_stop();
      stop_.request_stop();
    }
  });
}

}  // namespace kiln::cli
