#include "executor/run_condition.h"

#include "executor/scheduler.h"

namespace kiln::executor {
namespace {

std::string lost_results(const dag::Plan& plan, const State& state, const dag::RunContext& context) {
  std::string names;
  for (const dag::LostResult& lost : dag::lost_results(plan, StateFacts(plan, state), context))
    names += (names.empty() ? "" : " ") + lost.name;
  return names;
}

// Of a run that is one TaskRun or CustomRun.
RunCondition of_only_child(const dag::Plan& plan, const State& state, const std::string& name) {
  const TaskState& task = state.tasks.front();
  const ChildWords words = child_words(plan.tasks.front());
  if (task.phase == Phase::Cancelled || task.phase == Phase::Skipped)
    return {std::string(words.cancelled), std::string(words.kind) + " \"" + name + "\" was cancelled"};
  return {task.phase == Phase::Succeeded ? "Succeeded" : task.reason,
          task.message.empty() ? "All Steps have completed executing" : task.message};
}

}  // namespace

RunCondition end_condition(const dag::Plan& plan, const State& state, const dag::RunContext& context) {
  const Counts& counts = state.counts;
  const std::string& name = context.run_name;
  const std::string run = "PipelineRun \"" + name + "\"";
  if (plan.kind != dag::Plan::Kind::Pipeline && !plan.tasks.empty() && !state.pipeline_timed_out)
    return of_only_child(plan, state, name);
  if (state.is_broken()) return {state.broken_reason, state.broken_message};
  if (state.cancel == Cancel::Now) return {"Cancelled", run + " was cancelled"};
  if (state.pipeline_timed_out)
    return {"PipelineRunTimeout", run + " failed to finish within \"" + go_duration(plan.timeout) + "\""};
  if (state.tasks_timed_out)
    return {"PipelineRunTimeout",
            run + " failed due to tasks failed to finish within \"" + go_duration(plan.tasks_timeout) + "\""};
  if (plan.kind == dag::Plan::Kind::Pipeline)
    if (const std::string lost = lost_results(plan, state, context); !lost.empty())
      return {"CouldntGetPipelineResult",
              "Failed to get PipelineResult from TaskRun Results for PipelineRun " + name +
                  ": invalid pipelineresults [" + lost + "], the referenced results don't exist"};
  if (counts.invalid > 0) return {"PipelineValidationFailed", summary(plan, state)};
  if (counts.failed > 0 || counts.skipped_by_timeout > 0) return {"Failed", summary(plan, state)};
  if (state.cancel != Cancel::No) return {"Cancelled", run + " was cancelled"};
  if (counts.cancelled > 0) return {"Cancelled", summary(plan, state)};
  return {counts.skipped > 0 ? "Completed" : "Succeeded", summary(plan, state)};
}

RunCondition running_condition(const dag::Plan& plan, const State& state) {
  const std::string words = summary(plan, state);
  const bool has_finally = plan.dag_size < plan.tasks.size();
  if (state.tasks_timed_out && has_finally) return {"PipelineRunTimeoutRunningFinally", words};
  if (state.cancel == Cancel::RunFinally) return {"CancelledRunningFinally", words};
  if (state.cancel == Cancel::StopRunFinally) return {"StoppedRunningFinally", words};
  if (state.counts.cancelled > 0 || (state.counts.failed > 0 && !has_finally))
    return {"PipelineRunStopping", words};
  return {"Running", words};
}

}  // namespace kiln::executor
