#pragma once

#include <linux/filter.h>
#include <span>

namespace kiln::steps {

// The filter that untrusted steps run under, as the kernel takes it: modelled on the default profile of
// Docker (moby). What it does not name fails with EPERM; clone3 fails with ENOSYS, so that C libraries fall
// back to clone, whose flags can be looked at. Compiled once per process. Thread-safe.
std::span<const sock_filter> seccomp_program();

// The names of the system calls that are allowed without conditions, for runtime documents.
std::span<const char* const> allowed_system_calls();

}  // namespace kiln::steps
