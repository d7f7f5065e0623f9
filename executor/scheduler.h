#pragma once

#include <optional>
#include <string>
#include <vector>

#include "executor/state.h"

namespace kiln::executor {

// How TaskRuns of an earlier run ended that are not run again.
using Reusable = std::map<TaskRunId, Outcome>;

// Decides what happens next in a run. Pure: no clock, no I/O; everything it does is return events.
//
//   (Plan, State, Event, now) → (State, events that follow)
//
// The caller journals the events, then acts on them: TaskStarted → start a pod, TaskStopped → end it,
// RunFinished → done. Feeding the journalled events to apply() alone gives the equal State.
class Scheduler {
 public:
  struct Options {
    size_t jobs = 8;  // pods at once, at least 1
    dag::RunContext context;
    Reusable reuse = {};  // taken, when their turn comes, for what running them would give
  };
  Scheduler(const dag::Plan& plan, Options options);

  // Applies `event` (RunStarted first, TaskFinished, CancelRequested) and everything that follows from it.
  // Returns all of them in order, `event` first.
  std::vector<Event> advance(State& state, Event event, Time now) const;
  // The same without an event of its own: time has passed.
  std::vector<Event> tick(State& state, Time now) const;
  // When tick() has something to do at the latest; nullopt when only an event can change anything.
  std::optional<Time> next_deadline(const State& state) const;

 private:
  const dag::Plan& plan_;
  Options options_;
  std::vector<size_t> fail_fast_;  // tasks whose matrix ends when one of its TaskRuns fails
};

// Whether its documents say that the run waits until somebody starts it. (Every other `status` of a plan asks
// for its end, and advance() takes it for RunStarted's reason.)
bool is_pending(const dag::Plan& plan);

// "Tasks Completed: 2 (Failed: 0, Cancelled 0), Skipped: 1", with "Incomplete: n" while it runs.
std::string summary(const dag::Plan& plan, const State& state);

// The run of a pipeline inside a pipeline: the child's name, with "-retry<n>" for later attempts.
std::string attempt_name(const dag::Plan& plan, size_t task, std::string_view run_name,
                         dag::TaskRunIndex which);

// What the child is called: of a pipeline inside, each attempt is a run of its own.
std::string object_name(const dag::Plan& plan, size_t task, std::string_view run_name,
                        dag::TaskRunIndex which);

// How a child of a run of this task is called, and the reasons with which it is ended.
struct ChildWords {
  std::string_view kind, cancelled, timed_out;
};
ChildWords child_words(const dag::PlannedTask& task);

// As Go prints a duration: "1h0m0s", "1.5s".
std::string go_duration(Duration duration);

}  // namespace kiln::executor
