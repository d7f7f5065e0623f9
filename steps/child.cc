#include "steps/child.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/wait.h>

namespace kiln::steps {

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void reap(const UniqueFd& pidfd) {
  siginfo_t info;
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED) < 0 && errno == EINTR) {
  }
}

bool readable_within(int fd, std::chrono::nanoseconds timeout) {
  constexpr int64_t kLongest = 1 << 30;
  const int64_t limit = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
  pollfd ready{fd, POLLIN, 0};
  return ::poll(&ready, 1, limit > 0 ? static_cast<int>(std::min(limit, kLongest)) : -1) != 0;
}

}  // namespace kiln::steps
