#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dag/plan.h"

// What became of a Plan in a run, as far as a picture of it needs to know.
namespace kiln::dag {

// What became of a TaskRun.
struct TaskOutcome {
  std::string task;    // the name it has in the Plan
  std::string label;   // the same, or of one of a matrix: "build-2"
  std::string state;   // a word: Succeeded, Cached, Failed, Cancelled, Skipped, Running, …
  std::string reason;  // of the TaskRun, or why it was skipped
  std::optional<Duration> took;
  std::vector<TaskOutcome> inside;  // of the pipeline that it is
};

struct RunOutcome {
  std::string run, reason;
  std::vector<TaskOutcome> tasks;
};

struct StateColour {
  std::string_view state, fill;  // fill as HTML has it: "#ffcdd2"
};
// The state that matters most first.
std::span<const StateColour> state_colours();

// The outcomes of one plan's tasks by task; none for a plan that is only looked at. Refers to what it was
// made of.
class Outcomes {
 public:
  explicit Outcomes(const RunOutcome* run) : Outcomes(run == nullptr ? nullptr : &run->tasks) {}

  // Of a task whose matrix has fanned out there are several.
  const std::vector<const TaskOutcome*>& of(const PlannedTask& task) const;
  // Of the pipeline that the task is. What stands in each of a matrix of pipelines cannot be drawn as one.
  Outcomes inside(const PlannedTask& task) const;
  // "Succeeded  1.2 s"; of a matrix "3 Succeeded, 1 Failed"; "" when nothing is known.
  std::string words(const PlannedTask& task) const;
  // The state to colour it by, of a matrix the one that matters most; nullptr for those without a colour.
  const StateColour* colour(const PlannedTask& task) const;

 private:
  explicit Outcomes(const std::vector<TaskOutcome>* all);

  std::unordered_map<std::string_view, std::vector<const TaskOutcome*>> by_task_;
};

}  // namespace kiln::dag
