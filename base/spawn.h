#pragma once

#include <span>
#include <sys/types.h>

#include "base/process.h"

namespace kiln {

// With whom a program shares the terminal's signals: both are apart from ours.
enum class Apart { Group, Session };

// Starts a program and does not wait for it: its process id, which is its group's too. `fds[i]` becomes its
// descriptor i, -1 stands for /dev/null; it has no other descriptor of ours, whoever opened it how. No signal
// is blocked or ignored there. `command.input` is for run() only. Throws Infrastructure (the hint names a
// program that is missing).
pid_t spawn(const Command& command, std::span<const int> fds, Apart apart = Apart::Group);

}  // namespace kiln
