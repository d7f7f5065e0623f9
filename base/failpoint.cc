#include "base/failpoint.h"

#ifdef KILN_FAILPOINTS
#include <atomic>
#include <cstdlib>
#include <signal.h>
#include <string>

namespace kiln {
namespace {

struct Wanted {
  std::string name;
  int time = 1;
};

Wanted wanted() {
  const char* given = std::getenv("KILN_FAILPOINT");
  if (given == nullptr) return {};
  const std::string text = given;
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return {text};
  return {text.substr(0, colon), std::atoi(text.c_str() + colon + 1)};
}

}  // namespace

void failpoint(std::string_view name) {
  static const Wanted point = wanted();
  static std::atomic<int> times = 0;
  if (name == point.name && ++times == point.time) ::raise(SIGKILL);
}

}  // namespace kiln
#endif
