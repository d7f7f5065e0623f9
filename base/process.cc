#include "base/process.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/error.h"
#include "base/pipe.h"
#include "base/spawn.h"
#include "base/stop_fd.h"
#include "base/text.h"

extern char** environ;

namespace kiln {
namespace {

using Steady = std::chrono::steady_clock;

constexpr auto kGrace = std::chrono::seconds(5);  // from SIGTERM to SIGKILL
constexpr auto kLastWords =
    std::chrono::milliseconds(500);  // for what is in the pipes when all should be over
constexpr size_t kErrorsKept = 64 << 10;

void keep_tail(std::string& text, std::string_view more, size_t slack) {
  text += more;
  if (text.size() > kErrorsKept + slack) text.erase(0, text.size() - kErrorsKept);
}

// A child and its pipes. Killed, and waited for, when it is let go of before its end.
class Child {
 public:
  Child(const Command& command, const std::function<void(std::string_view)>& on_output)
      : program_(command.argv[0]), on_output_(on_output), input_(command.input) {
    const int inside[] = {in_.read.get(), out_.write.get(), err_.write.get()};
    pid_ = spawn(command, inside);
    in_.read.reset();
    out_.write.reset();
    err_.write.reset();
    if (input_.empty()) in_.write.reset();
    if (in_.write) ::fcntl(in_.write.get(), F_SETFL, O_NONBLOCK);
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    reap();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  Finished to_end(const StopFd& stop) {
    // Waited for like the rest: who has closed its streams may still be told to stop.
    const UniqueFd ended(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!ended) throw_errno("cannot watch " + program_);
    while (!(has_ended_ && !out_.read && !err_.read) && Steady::now() < given_up_) {
      pollfd fds[] = {{out_.read.get(), POLLIN, 0},
                      {err_.read.get(), POLLIN, 0},
                      {in_.write.get(), POLLOUT, 0},
                      {is_stopping() ? -1 : stop.get(), POLLIN, 0},
                      {has_ended_ ? -1 : ended.get(), POLLIN, 0}};
      if (::poll(fds, std::size(fds), is_stopping() ? kLook : -1) < 0 && errno != EINTR) throw_errno("poll");
      if (fds[2].revents) write_input();
      if (fds[0].revents) read_output();
      if (fds[1].revents) read_errors();
      if (fds[4].revents) has_ended_ = true;
      if (fds[3].revents) begin_stop();
      if (is_stopping()) go_on_stopping();
    }
    const int status = reap();
    if (is_stopping()) throw Error(ErrorKind::Cancelled, program_ + " was cancelled");
    keep_tail(finished_.errors, {}, 0);
    finished_.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return std::move(finished_);
  }

 private:
  static constexpr int kLook = 100;  // ms; how often a child that is to end is looked at
  static constexpr auto kNever = Steady::time_point::max();

  bool is_stopping() const { return kill_at_ != kNever; }
  void begin_stop() {
    kill_at_ = Steady::now() + kGrace;
    ::kill(-pid_, SIGTERM);
  }
  // Its children have no more time than itself. What left its group, and holds the pipes, is not waited for.
  void go_on_stopping() {
    const auto now = Steady::now();
    if (has_ended_) kill_at_ = std::min(kill_at_, now + kLastWords);
    if (now < kill_at_ || given_up_ != kNever) return;
    ::kill(-pid_, SIGKILL);
    given_up_ = now + kLastWords;
  }

  void write_input() {
    // A child that does not read its input gets what it asked for: the pipe is simply closed.
    const ssize_t n = ::write(in_.write.get(), input_.data(), input_.size());
    if (n > 0) input_.remove_prefix(n);
    if ((n < 0 && errno != EAGAIN && errno != EINTR) || input_.empty()) in_.write.reset();
  }
  std::optional<std::string_view> read_some(UniqueFd& end) {
    const ssize_t n = ::read(end.get(), buffer_, sizeof buffer_);
    if (n > 0) return std::string_view(buffer_, static_cast<size_t>(n));
    if (n == 0 || (errno != EINTR && errno != EAGAIN)) end.reset();
    return std::nullopt;
  }
  void read_output() {
    const auto bytes = read_some(out_.read);
    if (!bytes) return;
    if (on_output_)
      on_output_(*bytes);
    else
      finished_.output += *bytes;
  }
  void read_errors() {
    if (const auto bytes = read_some(err_.read)) keep_tail(finished_.errors, *bytes, kErrorsKept);
  }

  int reap() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

  const std::string program_;
  const std::function<void(std::string_view)>& on_output_;
  std::string_view input_;
  Pipe in_, out_, err_;
  pid_t pid_ = -1;
  bool has_ended_ = false;
  Steady::time_point kill_at_ = kNever, given_up_ = kNever;
  Finished finished_;
  char buffer_[64 << 10];
};

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
  const StopFd stop_fd(stop);
  return Child(command, on_output).to_end(stop_fd);
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
