#pragma once

#include <compare>
#include <cstdint>
#include <linux/filter.h>
#include <map>
#include <span>
#include <vector>

namespace kiln::steps {

// What becomes of a system call: `action` (SECCOMP_RET_…) when its first argument is as `when` says, else
// what becomes of all that the table does not name. Only the low 32 bits of the argument count: the calls
// that have a condition take no more of it, so that what stands above them could only deceive.
struct SystemCallVerdict {
  enum class When { Always, OneOf, NotEqual, NoneOfBits } when = When::Always;
  uint32_t action = 0;
  std::vector<uint32_t> values;  // OneOf: of these; NotEqual: to the only one; NoneOfBits: of the only one
  auto operator<=>(const SystemCallVerdict&) const = default;
};

// The verdicts of one architecture.
struct SystemCallTable {
  uint32_t architecture = 0;  // AUDIT_ARCH_…
  std::map<uint32_t, SystemCallVerdict> calls;
  uint32_t otherwise = 0;     // the action for numbers that are not in `calls`
  uint32_t end = UINT32_MAX;  // numbers from here on are another architecture's (x32) …
  uint32_t beyond = 0;        // … and this becomes of them
};

// The filter as classic BPF (seccomp(2)): neighbours with the same verdict are one range, and ranges are
// found by a binary search. Few instructions, since the kernel checks and compiles them anew for every
// process that is given the filter, and none but those that it can run ahead to learn which calls are always
// allowed. `foreign` is the action for calls of other architectures.
std::vector<sock_filter> seccomp_filter(std::span<const SystemCallTable> tables, uint32_t foreign);

}  // namespace kiln::steps
