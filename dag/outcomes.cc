#include "dag/outcomes.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace kiln::dag {

std::span<const StateColour> state_colours() {
  static constexpr std::array<StateColour, 6> kColours{{{"Failed", "#ffcdd2"},
                                                        {"Cancelled", "#ffe0b2"},
                                                        {"Running", "#bbdefb"},
                                                        {"Succeeded", "#c8e6c9"},
                                                        {"Cached", "#b2dfdb"},
                                                        {"Skipped", "#eeeeee"}}};
  return kColours;
}

Outcomes::Outcomes(const std::vector<TaskOutcome>* all) {
  if (all == nullptr) return;
  for (const TaskOutcome& one : *all) by_task_[one.task].push_back(&one);
}

const std::vector<const TaskOutcome*>& Outcomes::of(const PlannedTask& task) const {
  static const std::vector<const TaskOutcome*> kNone;
  const auto found = by_task_.find(task.name);
  return found == by_task_.end() ? kNone : found->second;
}

Outcomes Outcomes::inside(const PlannedTask& task) const {
  const auto& runs = of(task);
  return Outcomes(runs.size() == 1 ? &runs.front()->inside : nullptr);
}

std::string Outcomes::words(const PlannedTask& task) const {
  const auto& runs = of(task);
  if (runs.empty()) return {};
  if (runs.size() == 1)
    return runs.front()->state +
           (runs.front()->took ? "  " + format_seconds(seconds(*runs.front()->took)) : "");
  std::vector<std::pair<std::string, size_t>> counts;
  for (const TaskOutcome* run : runs) {
    const auto found = std::ranges::find(counts, run->state, &std::pair<std::string, size_t>::first);
    if (found == counts.end())
      counts.emplace_back(run->state, 1);
    else
      ++found->second;
  }
  std::vector<std::string> parts;
  for (const auto& [state, count] : counts) parts.push_back(std::to_string(count) + " " + state);
  return join(parts, ", ");
}

const StateColour* Outcomes::colour(const PlannedTask& task) const {
  for (const StateColour& one : state_colours())
    if (std::ranges::any_of(of(task), [&](const TaskOutcome* run) { return run->state == one.state; }))
      return &one;
  return nullptr;
}

}  // namespace kiln::dag
