#include "builders/build_plan.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "builders/documents.h"

namespace kiln::builders {
namespace {

using nlohmann::json;

PlanOption parse_option(const json& section, const std::string& name) {
  PlanOption option;
  for (const json& provide : section.value("provides", json::array())) {
    if (!provide.contains("name")) throw Error(ErrorKind::Invalid, name + ": a [[provides]] without a name");
    option.provides.push_back(provide.at("name").get<std::string>());
  }
  for (const json& require : section.value("requires", json::array())) {
    if (!require.contains("name")) throw Error(ErrorKind::Invalid, name + ": a [[requires]] without a name");
    require.at("name").get_ref<const std::string&>();  // or this throws: names are strings
    if (require.contains("version"))
      throw Error(ErrorKind::Invalid, name + ": [[requires]] has a top-level version",
                  "put it below metadata");
    option.requirements.push_back(require);
  }
  return option;
}

// Each [[or]] multiplies the combinations to try; a plan with more than this is refused, not searched.
constexpr int kMaxTrials = 20'000;

struct Trial {
  const std::vector<Candidate>& candidates;
  std::vector<size_t> active;  // indices of candidates still in
  std::vector<const PlanOption*> chosen;

  // A require consumes the provides that came before it. Returns the index within `active` of the first
  // member that does not fit, and why; nullopt when all do.
  std::optional<size_t> misfit(std::string& why) const {
    std::map<std::string, std::set<size_t>> pending;  // provided, not yet required
    std::set<std::string> provided;
    for (size_t i = 0; i < active.size(); ++i) {
      for (const std::string& name : chosen[i]->provides) {
        pending[name].insert(i);
        provided.insert(name);
      }
      for (const json& require : chosen[i]->requirements) {
        const std::string name = require.at("name").get<std::string>();
        if (!provided.contains(name)) {
          why = candidates[active[i]].name + " requires \"" + name + "\", which nothing before it provides";
          return i;
        }
        pending.erase(name);
      }
    }
    if (pending.empty()) return std::nullopt;
    const auto& [name, members] = *pending.begin();
    why = candidates[active[*members.begin()]].name + " provides \"" + name + "\", which nothing requires";
    return *members.begin();
  }

  Resolution resolution() const {
    Resolution result;
    result.members.resize(candidates.size());
    std::map<std::string, std::vector<json>> required;
    for (const PlanOption* option : chosen)
      for (const json& require : option->requirements)
        required[require.at("name").get<std::string>()].push_back(require);
    for (size_t i = 0; i < active.size(); ++i) {
      Resolution::Member& member = result.members[active[i]];
      member.selected = true;
      std::set<std::string> seen;
      for (const std::string& name : chosen[i]->provides)
        if (seen.insert(name).second)
          member.entries.insert(member.entries.end(), required[name].begin(), required[name].end());
    }
    return result;
  }
};

// Chooses options for active[from…]; tries every combination depth first.
std::optional<Resolution> choose(Trial& trial, size_t from, int& trials, std::string& why) {
  if (from < trial.active.size()) {
    for (const PlanOption& option : trial.candidates[trial.active[from]].options) {
      trial.chosen.push_back(&option);
      auto found = choose(trial, from + 1, trials, why);
      trial.chosen.pop_back();
      if (found) return found;
    }
    return std::nullopt;
  }
  if (++trials > kMaxTrials)
    throw Error(ErrorKind::Invalid,
                "the buildpacks' plans have more than " + std::to_string(kMaxTrials) + " combinations",
                "use fewer [[or]] alternatives");
  // An optional member that does not fit is dropped and the trial repeated without it.
  Trial reduced = trial;
  for (;;) {
    std::string reason;
    const auto misfit = reduced.misfit(reason);
    if (!misfit && reduced.active.empty()) return std::nullopt;  // `why` is the last drop's reason
    if (!misfit) return reduced.resolution();
    why = reason;
    if (!trial.candidates[reduced.active[*misfit]].optional) return std::nullopt;
    reduced.active.erase(reduced.active.begin() + static_cast<ptrdiff_t>(*misfit));
    reduced.chosen.erase(reduced.chosen.begin() + static_cast<ptrdiff_t>(*misfit));
  }
}

}  // namespace

std::vector<PlanOption> parse_plan(const json& document, const std::string& name) {
  return read_document(ErrorKind::Invalid, name, [&] {
    std::vector<PlanOption> options{parse_option(document, name)};
    for (const json& alternative : document.value("or", json::array()))
      options.push_back(parse_option(alternative, name));
    return options;
  });
}

std::optional<Resolution> resolve_plan(const std::vector<Candidate>& candidates, std::string& why) {
  Trial trial{candidates, {}, {}};
  for (size_t i = 0; i < candidates.size(); ++i) trial.active.push_back(i);
  if (candidates.empty()) {
    why = "no buildpack of the group passed detection";
    return std::nullopt;
  }
  int trials = 0;
  return choose(trial, 0, trials, why);
}

}  // namespace kiln::builders
