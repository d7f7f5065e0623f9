#include "builders/build_plan.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"

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
    if (require.contains("version"))
      throw Error(ErrorKind::Invalid, name + ": [[requires]] has a top-level version", "put it below metadata");
    option.requirements.push_back(require);
  }
  return option;
}

struct Trial {
  const std::vector<Candidate>& candidates;
  std::vector<size_t> active;          // indices of candidates still in
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
    std::map<std::string, std::vector<size_t>> providers;
    for (size_t i = 0; i < active.size(); ++i) {
      result.members[active[i]].selected = true;
      for (const std::string& name : chosen[i]->provides) providers[name].push_back(i);
      for (const json& require : chosen[i]->requirements)
        for (size_t provider : providers[require.at("name").get<std::string>()])
          result.members[active[provider]].entries.push_back(require);
    }
    return result;
  }
};

// Chooses options for active[from…]; tries every combination depth first.
std::optional<Resolution> choose(Trial& trial, size_t from, std::string& why) {
  if (from < trial.active.size()) {
    for (const PlanOption& option : trial.candidates[trial.active[from]].options) {
      trial.chosen.push_back(&option);
      auto found = choose(trial, from + 1, why);
      trial.chosen.pop_back();
      if (found) return found;
    }
    return std::nullopt;
  }
  // An optional member that does not fit is dropped and the trial repeated without it.
  Trial reduced = trial;
  for (;;) {
    std::string reason;
    const auto misfit = reduced.misfit(reason);
    if (!misfit) return reduced.active.empty() ? std::nullopt : std::optional(reduced.resolution());
    if (!trial.candidates[reduced.active[*misfit]].optional) {
      why = reason;
      return std::nullopt;
    }
    reduced.active.erase(reduced.active.begin() + static_cast<ptrdiff_t>(*misfit));
    reduced.chosen.erase(reduced.chosen.begin() + static_cast<ptrdiff_t>(*misfit));
  }
}

}  // namespace

std::vector<PlanOption> parse_plan(const json& document, const std::string& name) {
  std::vector<PlanOption> options{parse_option(document, name)};
  for (const json& alternative : document.value("or", json::array()))
    options.push_back(parse_option(alternative, name));
  return options;
}

std::optional<Resolution> resolve_plan(const std::vector<Candidate>& candidates, std::string& why) {
  Trial trial{candidates, {}, {}};
  for (size_t i = 0; i < candidates.size(); ++i) trial.active.push_back(i);
  if (candidates.empty()) {
    why = "no buildpack of the group passed detection";
    return std::nullopt;
  }
  return choose(trial, 0, why);
}

}  // namespace kiln::builders
