#include "serving/instance.h"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "steps/step_image.h"

namespace kiln::serving {
namespace {

constexpr size_t kIdleConnections = 64;

std::vector<std::string> environment_of(const InstanceSpec& spec, const std::string& home) {
  std::map<std::string, std::string> env{
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"HOME", home}};
  for (const std::string& variable : spec.image.config.env) {
    const size_t equals = variable.find('=');
    env[variable.substr(0, equals)] = equals == std::string::npos ? "" : variable.substr(equals + 1);
  }
  for (const auto& [name, value] : spec.settings.env) env[name] = value;
  env["PORT"] = std::to_string(spec.settings.port);
  env["K_SERVICE"] = spec.service;
  env["K_CONFIGURATION"] = spec.configuration;
  env["K_REVISION"] = spec.revision;
  std::vector<std::string> out;
  for (const auto& [name, value] : env) out.push_back(name + "=" + value);
  return out;
}

std::vector<std::string> command_of(const InstanceSpec& spec) {
  const registry::ImageConfig& image = spec.image.config;
  std::vector<std::string> command = spec.settings.command.empty() ? image.entrypoint : spec.settings.command;
  std::vector<std::string> args = spec.settings.args;
  if (args.empty() && spec.settings.command.empty()) args = image.cmd;
  command.insert(command.end(), args.begin(), args.end());
  if (command.empty())
    throw Error(ErrorKind::Failed, "image " + spec.settings.image + " names no program to run",
                "give the container a command");
  return command;
}

bool readable_now(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0;
}

}  // namespace

std::string describe_exit(const steps::ExitStatus& status) {
  if (!status.started) return "Container failed with: " + status.message;
  if (status.out_of_memory) return "Container failed with: out of memory";
  return "Container failed with: exit code " + std::to_string(status.code);
}

std::unique_ptr<Instance> Instance::start(const InstanceSpec& spec, steps::SandboxRuntime& runtime) {
  const auto passwd = steps::read_image_file(spec.lowers, "/etc/passwd");
  const auto group = steps::read_image_file(spec.lowers, "/etc/group");
  const steps::ImageUser user =
      steps::resolve_user(spec.image.config.user, passwd.value_or(""), group.value_or(""));

  steps::SandboxSpec sandbox;
  sandbox.id = spec.revision + "-" + random_hex(4);
  sandbox.rootfs.lowers = spec.lowers;
  sandbox.mounts = {
      {.kind = steps::Mount::Kind::Tmpfs, .source = {}, .destination = "/tmp", .size = 512u << 20}};
  sandbox.hostname = sandbox.id.substr(0, 63);
  sandbox.network = steps::Network::Private;
  sandbox.args = command_of(spec);
  sandbox.env = environment_of(spec, user.home);
  sandbox.cwd = !spec.settings.working_dir.empty()       ? spec.settings.working_dir
                : !spec.image.config.working_dir.empty() ? spec.image.config.working_dir
                                                         : "/";
  sandbox.uid = user.uid;
  sandbox.gid = user.gid;
  sandbox.groups = user.groups;
  sandbox.resources.memory_bytes = spec.settings.memory_bytes;
  sandbox.resources.cpus = spec.settings.cpus;

  make_dirs(spec.log.parent_path());
  UniqueFd log = open_file(spec.log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  return std::unique_ptr<Instance>(new Instance(
      runtime.start(sandbox, {.in = -1, .out = log.get(), .err = log.get()}), spec.settings.port));
}

Instance::Instance(std::unique_ptr<steps::Sandbox> sandbox, int port)
    : sandbox_(std::move(sandbox)), port_(port) {}

Instance::~Instance() = default;

Awaitable<Instance::Socket> Instance::dial() {
  auto executor = co_await asio::this_coro::executor;
  bool refused = false;
  Socket socket(executor);
  try {
    UniqueFd fd = sandbox_->dial_socket();
    socket.assign(asio::ip::tcp::v4(), fd.get());
    fd.release();
    const asio::ip::tcp::endpoint address(asio::ip::address_v4::loopback(), static_cast<uint16_t>(port_));
    co_await socket.async_connect(address, asio::use_awaitable);
    socket.set_option(asio::ip::tcp::no_delay(true));
  } catch (const Error&) {  // the sandbox has ended
    refused = true;
  } catch (const boost::system::system_error&) {
    refused = true;
  }
  if (refused) throw InstanceGone();
  co_return socket;
}

bool Instance::has_ended() {
  if (!status_ && readable_now(sandbox_->exit_fd())) status_ = sandbox_->wait();
  return status_.has_value();
}

Awaitable<void> Instance::until_ready(Duration deadline, std::stop_token stop) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const auto give_up = std::chrono::steady_clock::now() + deadline;
  // The first tries follow each other closely: what starts quickly should be noticed quickly.
  Duration pause = std::chrono::milliseconds(1);
  for (;;) {
    if (stop.stop_requested()) throw Error(ErrorKind::Cancelled, "the start of an instance was cancelled");
    if (has_ended()) throw Error(ErrorKind::Failed, describe_exit(*status_), "the revision's log says why");
    bool connected = false;
    try {
      // Closed at once: a server that handles one connection at a time would wait on it for ever.
      const Socket probe = co_await dial();
      connected = true;
    } catch (const InstanceGone&) {  // nobody listens yet
    }
    if (connected) co_return;
    if (std::chrono::steady_clock::now() > give_up)
      throw Error(ErrorKind::TimedOut,
                  "nothing listened on port " + std::to_string(port_) + " within " +
                      format_seconds(seconds(deadline)),
                  "the container must listen on $PORT");
    timer.expires_after(pause);
    co_await timer.async_wait(asio::use_awaitable);
    pause = std::min<Duration>(pause * 3 / 2, std::chrono::milliseconds(10));
  }
}

Awaitable<Instance::Connection> Instance::connect(bool allow_reused) {
  while (allow_reused && !idle_.empty()) {
    Connection connection{std::move(idle_.back()), true};
    idle_.pop_back();
    // Readable means closed by the other side (or noise): either way it is of no use.
    if (!readable_now(connection.socket.native_handle())) co_return connection;
  }
  Socket fresh = co_await dial();
  co_return Connection{std::move(fresh), false};
}

void Instance::keep(Socket socket) {
  if (idle_.size() < kIdleConnections) idle_.push_back(std::move(socket));
}

Awaitable<steps::ExitStatus> Instance::until_ended() {
  if (!has_ended()) {
    asio::posix::stream_descriptor watch(co_await asio::this_coro::executor, ::dup(sandbox_->exit_fd()));
    co_await watch.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
    if (!status_) status_ = sandbox_->wait();
  }
  co_return *status_;
}

Awaitable<void> Instance::stop(Duration grace) {
  idle_.clear();
  asio::steady_timer timer(co_await asio::this_coro::executor);
  sandbox_->signal(SIGTERM);
  const auto give_up = std::chrono::steady_clock::now() + grace;
  bool killed = false;
  while (!has_ended()) {
    if (!killed && std::chrono::steady_clock::now() >= give_up) {
      sandbox_->kill();
      killed = true;
    }
    timer.expires_after(std::chrono::milliseconds(2));
    co_await timer.async_wait(asio::use_awaitable);
  }
}

}  // namespace kiln::serving
