#include "steps/idmap.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/unique_fd.h"
#include "steps/namespace_seed.h"

namespace kiln::steps {
namespace {

// uid_map(5) lines: a ↔ b, everything else itself.
std::string swap_map(uint32_t a, uint32_t b) {
  constexpr uint64_t kEnd = 4294967295u;  // (uid_t)-1 is no id
  std::string map;
  const auto line = [&](uint64_t inside, uint64_t outside, uint64_t count) {
    if (count > 0)
      map += std::to_string(inside) + " " + std::to_string(outside) + " " + std::to_string(count) + "\n";
  };
  if (a == b) {
    line(0, 0, kEnd);
    return map;
  }
  const uint64_t low = std::min(a, b), high = std::max(a, b);
  line(0, 0, low);
  line(low, high, 1);
  line(low + 1, low + 1, high - low - 1);
  line(high, low, 1);
  line(high + 1, high + 1, kEnd - high - 1);
  return map;
}

UniqueFd make(Owner on_disk, Owner inside) {
  NamespaceSeed seed(0, 0);
  seed.write_maps(
      {IdMaps::How::Direct, swap_map(on_disk.uid, inside.uid), swap_map(on_disk.gid, inside.gid)});
  return seed.open("user");
}

}  // namespace

int swapping_user_namespace(Owner on_disk, Owner inside) {
  static std::mutex mutex;
  static std::map<std::pair<Owner, Owner>, UniqueFd> made;
  const std::lock_guard lock(mutex);
  const auto key = std::pair(on_disk, inside);
  if (const auto found = made.find(key); found != made.end()) return found->second.get();
  UniqueFd& fd = made[key];
  try {
    fd = make(on_disk, inside);
  } catch (const Error&) {  // remembered as -1: steps then see owners as they are on disk
  }
  return fd.get();
}

}  // namespace kiln::steps
