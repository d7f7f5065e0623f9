// What a trivial step costs over its own time: start + wait + teardown of `/bin/true` in a warm overlay root,
// against a plain fork and exec of the same program. Not a test: build it by hand with
//   ninja -C build step_bench && build/tests/step_bench [ROOTFS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>

#include "base/fs.h"
#include "steps/sandbox.h"

extern char** environ;

namespace {

using namespace kiln;
using Clock = std::chrono::steady_clock;

double microseconds(Clock::duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

void install(const fs::path& from, const fs::path& root) {
  const fs::path to = root / from.relative_path();
  fs::create_directories(to.parent_path());
  fs::copy_file(from, to, fs::copy_options::overwrite_existing);
}

template <class Function>
void measure(const char* name, int rounds, Function once) {
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = Clock::now();
    once();
    times.push_back(microseconds(Clock::now() - begin));
  }
  std::sort(times.begin(), times.end());
  std::printf("%-28s median %7.0f us   p90 %7.0f us   min %7.0f us\n", name, times[times.size() / 2],
              times[times.size() * 9 / 10], times[0]);
}

void spawn_plain(const char* program) {
  char* const argv[] = {const_cast<char*>(program), nullptr};
  pid_t pid;
  if (posix_spawn(&pid, program, nullptr, nullptr, argv, environ) != 0) std::abort();
  waitpid(pid, nullptr, 0);
}

}  // namespace

int main(int argc, char** argv) {
  const TempDir folder;
  fs::path root = argc > 1 ? fs::path(argv[1]) : folder.path() / "rootfs";
  if (argc == 1)
    for (const char* file :
         {"/usr/bin/true", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"})
      install(file, root);
  const auto runtime = steps::make_runtime("native", folder.path() / "run");
  steps::SandboxSpec spec;
  spec.id = "bench";
  spec.rootfs.lowers = {root};
  spec.args = {"/usr/bin/true"};
  constexpr int kRounds = 300;
  measure("posix_spawn", kRounds, [&] { spawn_plain("/usr/bin/true"); });
  measure("sandbox", kRounds, [&] { runtime->start(spec, {})->wait(); });
  std::unique_ptr<steps::Sandbox> last;
  measure("sandbox, until exit known", kRounds, [&] {
    auto sandbox = runtime->start(spec, {});
    sandbox->wait();
    last = std::move(sandbox);
  });
  spec.network = steps::Network::Private;
  measure("sandbox, own network", kRounds / 4, [&] { runtime->start(spec, {})->wait(); });
  spec.network = steps::Network::Host;
  spec.resources = {.memory_bytes = 64 << 20, .pids = 64};
  measure("sandbox, limits", kRounds / 4, [&] { runtime->start(spec, {})->wait(); });
  spec.resources = {};
  spec.uid = 1000;
  measure("sandbox, ordinary user", kRounds, [&] { runtime->start(spec, {})->wait(); });
}
