#pragma once

#include <chrono>
#include <sys/types.h>

#include "base/unique_fd.h"

namespace kiln::steps {

// Waits for a child of ours, once. Its exit code, or 128 + signal.
int reap(pid_t pid);
// The same, by pidfd, where nobody asks how it ended.
void reap(const UniqueFd& pidfd);

// Whether there is something to read from `fd` (or its end) before `timeout` is over; zero is for ever.
bool readable_within(int fd, std::chrono::nanoseconds timeout);

}  // namespace kiln::steps
