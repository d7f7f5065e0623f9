// The answer to a probe's gRPC call comes from whatever listens there: a head and trailer of lines, an empty
// line, then the body's bytes.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "steps/grpc_health.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find("\n\n");
  const std::vector<std::string> lines = split(text.substr(0, end), '\n');
  const std::string_view body = end == std::string_view::npos ? "" : text.substr(end + 2);
  // Good news only of what says so.
  if (steps::health_problem(200, lines, body).empty() && body.find('\x08') == std::string_view::npos)
    std::abort();
  if (steps::health_problem(500, lines, body).empty()) std::abort();
  return 0;
}
