#include "base/process.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"

extern char** environ;

namespace kiln {
namespace {

struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe");
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

pid_t spawn(const Command& command, int in, int out, int err) {
  std::vector<std::string> variables;
  if (command.environment)
    for (const auto& [name, value] : *command.environment) variables.push_back(name + "=" + value);
  std::vector<char*> argv = pointers(command.argv);
  std::vector<char*> envp = pointers(variables);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  if (!command.directory.empty()) posix_spawn_file_actions_addchdir_np(&actions, command.directory.c_str());
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(),
                                   command.environment ? envp.data() : environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0)
    throw Error(ErrorKind::Infrastructure, "cannot run " + command.argv[0] + ": " + std::strerror(error),
                error == ENOENT ? "install the program " + command.argv[0] + " or put it into PATH" : "");
  return pid;
}

void keep_tail(std::string& text, std::string_view more) {
  constexpr size_t kLimit = 64 << 10;
  text += more;
  if (text.size() > 2 * kLimit) text.erase(0, text.size() - kLimit);
}

}  // namespace

Environment current_environment() {
  Environment environment;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos && equals > 0)
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

Finished run(const Command& command, const std::function<void(std::string_view)>& on_output,
             std::stop_token stop) {
  Pipe in, out, err;
  const pid_t pid = spawn(command, in.read.get(), out.write.get(), err.write.get());
  in.read.reset();
  out.write.reset();
  err.write.reset();
  bool reaped = false;
  OnExit kill_child([&] {
    if (reaped) return;
    ::kill(-pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  });

  UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  std::stop_callback on_stop(stop, [&] {
    const uint64_t one = 1;
    [[maybe_unused]] ssize_t n = ::write(wake.get(), &one, sizeof one);
  });

  ::fcntl(in.write.get(), F_SETFL, O_NONBLOCK);
  std::string_view input = command.input;
  if (input.empty()) in.write.reset();
  Finished finished;
  bool terminated = false;
  auto kill_at = std::chrono::steady_clock::time_point::max();
  while (out.read || err.read) {
    pollfd fds[] = {{out.read.get(), POLLIN, 0},
                    {err.read.get(), POLLIN, 0},
                    {in.write.get(), POLLOUT, 0},
                    {terminated ? -1 : wake.get(), POLLIN, 0}};
    const int timeout = terminated ? 100 : -1;
    if (::poll(fds, std::size(fds), timeout) < 0 && errno != EINTR) throw_errno("poll");
    if (fds[3].revents) {
      terminated = true;
      kill_at = std::chrono::steady_clock::now() + std::chrono::seconds(5);
      ::kill(-pid, SIGTERM);
    }
    if (terminated && std::chrono::steady_clock::now() > kill_at) ::kill(-pid, SIGKILL);
    if (fds[2].revents) {
      // A child that does not read its input gets what it asked for: the pipe is simply closed.
      const ssize_t n = ::write(in.write.get(), input.data(), input.size());
      if (n > 0) input.remove_prefix(n);
      if ((n < 0 && errno != EAGAIN && errno != EINTR) || input.empty()) in.write.reset();
    }
    for (auto* end : {&out.read, &err.read}) {
      const bool is_output = end == &out.read;
      if (!*end || !fds[is_output ? 0 : 1].revents) continue;
      char buffer[64 << 10];
      const ssize_t n = ::read(end->get(), buffer, sizeof buffer);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n <= 0) {
        end->reset();
        continue;
      }
      const std::string_view bytes(buffer, static_cast<size_t>(n));
      if (!is_output)
        keep_tail(finished.errors, bytes);
      else if (on_output)
        on_output(bytes);
      else
        finished.output += bytes;
    }
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw_errno("waitpid");
  reaped = true;
  if (terminated) throw Error(ErrorKind::Cancelled, command.argv[0] + " was cancelled");
  finished.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return finished;
}

std::optional<std::filesystem::path> find_program(std::string_view name) {
  if (name.find('/') != std::string_view::npos)
    return ::access(std::string(name).c_str(), X_OK) == 0 ? std::optional<std::filesystem::path>(name)
                                                          : std::nullopt;
  const char* path = ::getenv("PATH");
  for (const std::string& folder : split(path ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
    std::filesystem::path candidate = std::filesystem::path(folder.empty() ? "." : folder) / name;
    if (::access(candidate.c_str(), X_OK) == 0 && !std::filesystem::is_directory(candidate)) return candidate;
  }
  return std::nullopt;
}

}  // namespace kiln
