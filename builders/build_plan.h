#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

// The build plan of buildpack detection: who provides, who requires (Buildpack specification, "Phase #1:
// Detection", "Build Plan (TOML)"). Pure.
namespace kiln::builders {

// One alternative of one buildpack's plan: the top section or one [[or]].
struct PlanOption {
  std::vector<std::string> provides;
  std::vector<nlohmann::json> requirements;  // {"name": …, "metadata": {…}}
};

// What one group member's detection came to.
struct Candidate {
  std::string name;  // "kiln/node@0.1.0", for messages
  bool optional = false;
  std::vector<PlanOption> options;  // tried first to last; never empty
};

// A group that fits together: for each candidate whether it takes part, and the entries it has to satisfy.
struct Resolution {
  struct Member {
    bool selected = false;
    std::vector<nlohmann::json> entries;  // requirements of all for the names that this member provides
  };
  std::vector<Member> members;  // as the candidates
};

// The options of a plan file. Throws Invalid, e.g. for a top-level `version` in a requirement.
std::vector<PlanOption> parse_plan(const nlohmann::json& document, const std::string& name);

// Depth-first, left to right; the first trial that works wins. On failure `why` says what was missing in the
// last trial. Throws Invalid when the alternatives make too many combinations to try.
std::optional<Resolution> resolve_plan(const std::vector<Candidate>& candidates, std::string& why);

}  // namespace kiln::builders
