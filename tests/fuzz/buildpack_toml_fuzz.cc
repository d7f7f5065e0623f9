// Build plans are written by buildpacks, which anybody may have made. The input is the plans of a group,
// one after another, separated by a line of "---"; every second member is optional.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"
#include "base/toml.h"
#include "builders/build_plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln;
  using namespace kiln::builders;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<Candidate> candidates;
  try {
    while (candidates.size() < 6) {
      const size_t end = text.find("\n---\n");
      const nlohmann::json document = parse_toml(text.substr(0, end), "plan");
      candidates.push_back({"bp", candidates.size() % 2 == 1, parse_plan(document, "bp")});
      // What is written is what was read. (Only once through: a TOML date has become a string.)
      const std::string written = to_toml(document);
      if (to_toml(parse_toml(written, "again")) != written) std::abort();
      if (end == std::string_view::npos) break;
      text.remove_prefix(end + 5);
    }
    std::string why;
    const auto resolution = resolve_plan(candidates, why);
    if (!resolution && why.empty()) std::abort();
    if (!resolution) return 0;
    bool any = false;
    for (size_t i = 0; i < candidates.size(); ++i) {
      const Resolution::Member& member = resolution->members.at(i);
      any |= member.selected;
      if (!member.selected && (!candidates[i].optional || !member.entries.empty())) std::abort();
    }
    if (!any) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
