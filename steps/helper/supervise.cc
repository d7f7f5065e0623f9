#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steps/helper/spec.h"

namespace kiln::steps::helper {
namespace {

int main_pid = 0, beside_pid = 0;

alignas(wire::Request) char message[wire::kLongestRequest + 1];

void answer_dial() {
  int32_t result = 0;
  const int made = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (made < 0) result = errno;
  iovec bytes{&result, sizeof result};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (made >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &made, sizeof made);
  }
  sendmsg(wire::kControlFd, &message, MSG_NOSIGNAL);
  if (made >= 0) close(made);
}

void answer_exec(int32_t code) {
  beside_pid = 0;
  send(wire::kControlFd, &code, sizeof code, MSG_NOSIGNAL);
}

// `words` is the NUL-terminated words of `request`, ended by one more NUL.
void run_beside(const Spec& spec, const wire::Request& request, char* words) {
  static char* args[wire::kMostWords + 1];
  int count = 0;
  for (; count < request.argument && count < wire::kMostWords && words < message + wire::kLongestRequest;
       ++count) {
    args[count] = words;
    words += strlen(words) + 1;
  }
  args[count] = nullptr;
  if (main_pid > 0 && beside_pid == 0 && count > 0) beside_pid = start_beside(spec, args);
  if (beside_pid <= 0) answer_exec(wire::kNoExec);
}

// False when kiln is gone.
bool answer_request(const Spec& spec) {
  const ssize_t n = recv(wire::kControlFd, message, wire::kLongestRequest, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  wire::Request request;
  if (n < static_cast<ssize_t>(sizeof request)) return false;
  memcpy(&request, message, sizeof request);
  message[n] = 0;
  if (request.ask == wire::Ask::Signal && main_pid > 0) kill(main_pid, request.argument);
  if (request.ask == wire::Ask::Dial) answer_dial();
  if (request.ask == wire::Ask::Exec) run_beside(spec, request, message + sizeof request);
  if (request.ask == wire::Ask::EndExec && beside_pid > 0) kill(-beside_pid, SIGKILL);
  return true;
}

int exit_code_of(int result) {
  return WIFSIGNALED(result) ? 128 + WTERMSIG(result) : WEXITSTATUS(result);
}

// Reaps whatever has ended; tells kiln when that was the step, or what runs beside it.
void reap(int64_t started_ns) {
  int result;
  for (;;) {
    const int pid = waitpid(-1, &result, WNOHANG);
    if (pid <= 0) return;
    if (pid == beside_pid) answer_exec(exit_code_of(result));
    if (pid != main_pid) continue;
    main_pid = 0;
    wire::Status status{};
    status.event = wire::Event::Exited;
    status.code = exit_code_of(result);
    status.run_time_ns = now_ns() - started_ns;
    report(status);
  }
}

// The end of PID 1 is the end of all its processes; the kernel sees to that. Only cgroups must be emptied
// first, and kept until kiln has read them (or is gone).
[[noreturn]] void end(const Spec& spec) {
  if (beside_pid > 0) answer_exec(wire::kNoExec);
  if (spec.header->cgroups == 0) _exit(0);
  kill(-1, SIGKILL);
  while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
  }
  pollfd lifeline{wire::kControlFd, POLLIN, 0};
  while (!(lifeline.revents & POLLHUP) && (poll(&lifeline, 1, -1) >= 0 || errno == EINTR))
    if (lifeline.revents && !answer_request(spec)) break;
  const int parents = wire::kFirstCgroupFd + static_cast<int>(spec.header->cgroups);
  for (uint32_t i = 0; i < spec.header->cgroups; ++i) {
    unlinkat(parents + static_cast<int>(i), spec.cgroup_name, AT_REMOVEDIR);
    unlinkat(parents + static_cast<int>(i), "../kiln", AT_REMOVEDIR);  // when it was the last
  }
  _exit(0);
}

}  // namespace

void supervise(const Spec& spec, int pid, int64_t started_ns) {
  main_pid = pid;
  // The step's pipes must end with the step.
  for (int fd : {0, 1, 2}) close(fd);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  const int ended = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  while (main_pid > 0) {
    pollfd watched[] = {{ended, POLLIN, 0}, {wire::kControlFd, POLLIN, 0}};
    if (poll(watched, 2, -1) < 0 && errno != EINTR) _exit(1);
    if (watched[0].revents) {
      signalfd_siginfo info;
      while (read(ended, &info, sizeof info) > 0) {
      }
      reap(started_ns);
    }
    if (watched[1].revents && !answer_request(spec)) break;
  }
  end(spec);
}

}  // namespace kiln::steps::helper
