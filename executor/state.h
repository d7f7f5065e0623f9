#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dag/resolve.h"
#include "executor/event.h"

namespace kiln::executor {

enum class Phase { Waiting, Ready, Running, Succeeded, Failed, Cancelled, Skipped };
inline bool is_terminal(Phase phase) {
  return phase >= Phase::Succeeded;
}
std::string_view to_string(Phase phase);

// Tekton's skip reasons, word for word.
namespace skip {
inline constexpr std::string_view kWhen = "When Expressions evaluated to false";
inline constexpr std::string_view kParent = "Parent Tasks were skipped";
inline constexpr std::string_view kStopping = "PipelineRun was stopping";
inline constexpr std::string_view kCancelled = "PipelineRun was gracefully cancelled";
inline constexpr std::string_view kStopped = "PipelineRun was gracefully stopped";
inline constexpr std::string_view kMissingResults = "Results were missing";
inline constexpr std::string_view kPipelineTimeout = "PipelineRun timeout has been reached";
inline constexpr std::string_view kTasksTimeout = "PipelineRun Tasks timeout has been reached";
inline constexpr std::string_view kFinallyTimeout = "PipelineRun Finally timeout has been reached";
inline constexpr std::string_view kEmptyMatrix = "Matrix Parameters have an empty array";
// Neither is among the skippedTasks of a status:
inline constexpr std::string_view kNone = "None";                  // never got its turn in a cancelled run
inline constexpr std::string_view kInvalid = "Failed Validation";  // nobody left a result that it wants
}  // namespace skip

struct AttemptRecord {
  Time started{}, finished{};
  Outcome outcome;
  bool operator==(const AttemptRecord&) const = default;
};

// One TaskRun (or custom run, or run of a pipeline inside the pipeline), through all its attempts.
struct TaskRunState {
  Phase phase = Phase::Waiting;
  int attempt = 0;             // the current or last one
  Time started{}, finished{};  // of the current or last attempt
  std::string reason;          // TaskRun reason, or the skip reason
  std::string message;
  std::string stop_reason, stop_message;  // its end was asked for: of ChildWords
  bool infrastructure = false;
  std::vector<StepRecord> steps, sidecars;
  std::map<std::string, dag::ParamValue, std::less<>> results;
  std::string artifacts;               // the text of its provenance.json
  std::vector<AttemptRecord> retries;  // earlier attempts
  bool operator==(const TaskRunState&) const = default;
};

// A pipeline task. Its own TaskRun, or, once its matrix has fanned out, what its `runs` come to together:
// then a result is the array of what the runs produced.
struct TaskState : TaskRunState {
  size_t waiting_for = 0;  // parents that have not ended
  bool ignored = false;    // failed, and onError says continue
  std::vector<TaskRunState> runs;
  // What those who want results that it did not leave get for them (annotation::kResultDefault).
  std::map<std::string, dag::ParamValue, std::less<>> defaults;
  TaskRunState& run(size_t index) { return runs.empty() ? *this : runs.at(index); }
  const TaskRunState& run(size_t index) const { return runs.empty() ? *this : runs.at(index); }
  size_t run_count() const { return runs.empty() ? 1 : runs.size(); }
  bool operator==(const TaskState&) const = default;
};

// A TaskRun by place: index into Plan::tasks, and into its runs.
struct TaskRunId {
  size_t task = 0, run = 0;
  auto operator<=>(const TaskRunId&) const = default;
};

struct Counts {
  size_t succeeded = 0, failed = 0, ignored = 0, cancelled = 0, skipped = 0, skipped_by_timeout = 0;
  size_t invalid = 0;  // skip::kInvalid; not among the skipped
  bool operator==(const Counts&) const = default;
};

enum class Cancel { No, RunFinally, StopRunFinally, Now };  // in order of strength

// Everything known of a run. A value; equal for equal events.
struct State {
  std::vector<TaskState> tasks;  // beside Plan::tasks
  Time started{}, finished{}, finally_started{};
  bool has_started = false, has_finished = false, in_finally = false;
  bool stopping = false;  // a task failed: nothing new starts
  Cancel cancel = Cancel::No;
  bool pipeline_timed_out = false, tasks_timed_out = false, finally_timed_out = false;
  std::string broken_reason, broken_message;  // RunBroken
  std::string reason, message;                // of the run's condition
  Counts counts;

  // The scheduler's own view, kept here so that it too is a fold.
  std::set<TaskRunId> ready;                       // phase Ready
  std::set<std::pair<Time, TaskRunId>> deadlines;  // of running TaskRuns
  size_t running = 0;                              // TaskRuns
  size_t dag_left = 0, finally_left = 0;           // not terminal

  bool is_broken() const { return !broken_reason.empty(); }
  bool succeeded() const;  // status "True": reason Succeeded or Completed
  bool operator==(const State&) const = default;
};

// One step of the fold. Total: an event that makes no sense in this state changes nothing.
void apply(const dag::Plan& plan, State& state, const Event& event);

// A TaskRun as substitution and names want it, at its current attempt.
dag::TaskRunIndex index_of(const State& state, TaskRunId id);

// The TaskRuns of phase Running, in order.
std::vector<TaskRunId> running_task_runs(const State& state);

// What substitution may ask of a run.
class StateFacts final : public dag::RunFacts {
 public:
  StateFacts(const dag::Plan& plan, const State& state) : plan_(plan), state_(state) {}
  const dag::ParamValue* result(size_t task, std::string_view name) const override;
  const dag::ParamValue* result_default(size_t task, std::string_view name) const override;
  std::string_view status(size_t task) const override;
  std::string_view reason(size_t task) const override;
  std::string_view aggregate_status() const override;
  std::optional<size_t> matrix_length(size_t task) const override;
  std::optional<std::string> artifact(size_t task, std::string_view kind,
                                      std::string_view name) const override;

 private:
  const dag::Plan& plan_;
  const State& state_;
};

}  // namespace kiln::executor
