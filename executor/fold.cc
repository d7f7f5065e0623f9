// One step of the fold from events to State.
#include <algorithm>

#include "executor/scheduler.h"
#include "executor/task_end.h"

namespace kiln::executor {
namespace {

class Fold {
 public:
  Fold(const dag::Plan& plan, State& state) : plan_(plan), state_(state) {}

  void run_started(const Event& event) {
    if (state_.has_started) return;
    state_.has_started = true;
    state_.started = event.at;
    state_.reason = "Running";
    state_.tasks.resize(plan_.tasks.size());
    state_.dag_left = plan_.dag_size;
    state_.finally_left = plan_.tasks.size() - plan_.dag_size;
    for (size_t i = 0; i < plan_.dag_size; ++i) {
      state_.tasks[i].waiting_for = plan_.tasks[i].needs.size();
      if (state_.tasks[i].waiting_for == 0) make_ready({i, 0});
    }
  }

  void fanned_out(size_t i, const Event& event) {
    TaskState& task = state_.tasks[i];
    if (task.phase != Phase::Ready || !task.runs.empty() || event.count == 0) return;
    state_.ready.erase({i, 0});
    task.phase = Phase::Running;
    task.started = event.at;
    task.reason = "Running";
    task.runs.resize(event.count);
    for (size_t run = 0; run < event.count; ++run) make_ready({i, run});
  }

  void task_started(TaskRunId id, const Event& event) {
    TaskRunState& run = run_of(id);
    if (run.phase != Phase::Ready || event.attempt != run.attempt) return;
    state_.ready.erase(id);
    run.phase = Phase::Running;
    run.started = event.at;
    run.reason = "Running";
    ++state_.running;
    // A pipeline inside the pipeline looks after its own time.
    const dag::PlannedTask& task = plan_.tasks[id.task];
    if (task.timeout > Duration{} && task.kind != dag::PlannedTask::Kind::Pipeline)
      state_.deadlines.insert({deadline(id), id});
  }

  void task_stopped(TaskRunId id, const Event& event) {
    TaskRunState& run = run_of(id);
    if (run.phase != Phase::Running || event.attempt != run.attempt || !run.stop_reason.empty()) return;
    run.stop_reason = event.reason;
    run.stop_message = event.message;
    state_.deadlines.erase({deadline(id), id});
  }

  void task_finished(TaskRunId id, const Event& event) {
    TaskRunState& run = run_of(id);
    if ((run.phase != Phase::Running && run.phase != Phase::Ready) || event.attempt != run.attempt) return;
    const bool ran = run.phase == Phase::Running;
    if (ran) {
      --state_.running;
      state_.deadlines.erase({deadline(id), id});
    } else {
      state_.ready.erase(id);
      run.started = event.at;
    }
    Outcome outcome = event.outcome;
    if (!outcome.succeeded && !run.stop_reason.empty()) {  // it ended because it was told to
      outcome.reason = run.stop_reason;
      outcome.message = run.stop_message;
      for (StepRecord& step : outcome.steps)
        if (step.reason.ends_with("Cancelled")) end_with(step, run);
    }
    const bool cancelled = !outcome.succeeded && run.stop_reason.ends_with("Cancelled");
    run.finished = event.at;
    keep_results(id, outcome);
    if (ran && !outcome.succeeded && !cancelled && run.attempt < plan_.tasks[id.task].retries &&
        !no_more_attempts(id.task)) {
      run.retries.push_back({run.started, run.finished, std::move(outcome)});
      run.stop_reason.clear();
      run.stop_message.clear();
      run.results.clear();
      run.reason = "ToBeRetried";
      ++run.attempt;
      make_ready(id);
      return;
    }
    run.reason = outcome.reason;
    run.message = outcome.message;
    run.infrastructure = outcome.infrastructure;
    run.steps = std::move(outcome.steps);
    run.sidecars = std::move(outcome.sidecars);
    run.artifacts = std::move(outcome.artifacts);
    run.phase = outcome.succeeded ? Phase::Succeeded : cancelled ? Phase::Cancelled : Phase::Failed;
    settle(id.task);
  }

  void task_skipped(TaskRunId id, const Event& event) {
    TaskState& task = state_.tasks[id.task];
    TaskRunState& run = run_of(id);
    if (run.phase != Phase::Waiting && run.phase != Phase::Ready) return;
    state_.ready.erase(id);
    run.finished = event.at;
    if (run.attempt > 0 || !task.runs.empty()) {
      // Between two attempts it ran, and a matrix that has fanned out runs: neither is a skipped task.
      run.reason = child_words(plan_.tasks[id.task]).cancelled;
      run.message = run.attempt > 0 ? "cancelled before its next attempt" : "cancelled before it started";
      run.phase = Phase::Cancelled;
      return settle(id.task);
    }
    task.reason = event.reason;
    task.message = event.message;
    task.phase = Phase::Skipped;
    if (event.reason == skip::kInvalid) {
      state_.stopping = true;
      return end(id.task, state_.counts.invalid);
    }
    if (event.reason == skip::kPipelineTimeout || event.reason == skip::kTasksTimeout ||
        event.reason == skip::kFinallyTimeout)
      ++state_.counts.skipped_by_timeout;
    end(id.task, state_.counts.skipped);
  }

  void finally_started(const Event& event) {
    if (state_.in_finally) return;
    state_.in_finally = true;
    state_.finally_started = event.at;
    for (size_t i = plan_.dag_size; i < plan_.tasks.size(); ++i)
      if (state_.tasks[i].phase == Phase::Waiting) make_ready({i, 0});
  }

  void cancel_requested(const Event& event) {
    const Cancel asked = event.reason == "CancelledRunFinally" ? Cancel::RunFinally
                         : event.reason == "StoppedRunFinally" ? Cancel::StopRunFinally
                                                               : Cancel::Now;
    state_.cancel = std::max(state_.cancel, asked);
  }

  void timed_out(const Event& event) {
    if (event.reason == "pipeline") state_.pipeline_timed_out = true;
    if (event.reason == "tasks") state_.tasks_timed_out = true;
    if (event.reason == "finally") state_.finally_timed_out = true;
  }

  void run_broken(const Event& event) {
    if (state_.is_broken()) return;
    state_.broken_reason = event.reason;
    state_.broken_message = event.message;
  }

  void run_finished(const Event& event) {
    if (state_.has_finished) return;
    for (size_t i = 0; i < state_.tasks.size(); ++i)  // only in a run that was lost
      if (!is_terminal(state_.tasks[i].phase)) lose(i, event);
    state_.ready.clear();
    state_.has_finished = true;
    state_.finished = event.at;
    state_.reason = event.reason;
    state_.message = event.message;
  }

 private:
  TaskRunState& run_of(TaskRunId id) { return state_.tasks[id.task].run(id.run); }

  Time deadline(TaskRunId id) { return run_of(id).started + plan_.tasks[id.task].timeout; }

  void make_ready(TaskRunId id) {
    run_of(id).phase = Phase::Ready;
    state_.ready.insert(id);
  }

  void lose(size_t i, const Event& event) {
    TaskState& task = state_.tasks[i];
    bool any_ran = false;
    for (size_t k = 0; k < task.run_count(); ++k) {
      TaskRunState& run = task.run(k);
      if (is_terminal(run.phase)) {
        any_ran = true;
        continue;
      }
      const bool ran = run.phase == Phase::Running || run.attempt > 0;
      any_ran |= ran;
      if (run.phase == Phase::Running) --state_.running;
      state_.deadlines.erase({deadline({i, k}), {i, k}});
      state_.ready.erase({i, k});
      run.finished = event.at;
      run.reason = ran ? child_words(plan_.tasks[i]).cancelled : skip::kNone;
      run.message = ran ? event.message : "";
      run.phase = ran || !task.runs.empty() ? Phase::Cancelled : Phase::Skipped;
    }
    if (any_ran || !task.runs.empty())
      settle(i);
    else
      end(i, state_.counts.skipped);
  }

  bool run_timed_out(size_t i) const {
    return state_.pipeline_timed_out ||
           (plan_.tasks[i].is_finally ? state_.finally_timed_out : state_.tasks_timed_out);
  }

  bool no_more_attempts(size_t i) const {
    return state_.is_broken() || run_timed_out(i) || state_.cancel == Cancel::Now ||
           (!plan_.tasks[i].is_finally && state_.cancel == Cancel::RunFinally);
  }

  // A step says as its TaskRun does why it was ended.
  static void end_with(StepRecord& step, const TaskRunState& run) {
    step.reason = run.stop_reason;
    if (!run.stop_reason.ends_with("Cancelled")) step.message = "the TaskRun's time was over";
  }

  void keep_results(TaskRunId id, const Outcome& outcome) {
    const std::vector<dag::ResultSpec>* declared = plan_.tasks[id.task].declared_results();
    TaskRunState& run = run_of(id);
    if (declared == nullptr) {  // a custom task declares nothing: whatever it gives
      for (const auto& [name, bytes] : outcome.results)
        run.results.insert_or_assign(name, dag::ParamValue::string(bytes));
      return;
    }
    for (const dag::ResultSpec& spec : *declared) {
      const auto bytes = outcome.results.find(spec.name.value);
      if (bytes == outcome.results.end()) continue;
      if (auto value = dag::parse_result(spec.type, bytes->second))
        run.results.insert_or_assign(spec.name.value, std::move(*value));
    }
  }

  // One of a task's runs has ended for good: the task has too when it was the last.
  void settle(size_t i) {
    TaskState& task = state_.tasks[i];
    if (!task.runs.empty() && !gather(task)) return;
    switch (task.phase) {
      case Phase::Succeeded:
        return end(i, state_.counts.succeeded);
      case Phase::Cancelled:
        state_.stopping = true;
        // Ended by a timeout of the run counts as failed (pipelinerunstate.go, isCancelledForTimeOut).
        return end(i, run_timed_out(i) ? state_.counts.failed : state_.counts.cancelled);
      default:
        break;
    }
    if (plan_.tasks[i].continue_on_error) {
      ignore_failure(plan_.tasks[i], task);
      return end(i, state_.counts.ignored);
    }
    state_.stopping = true;
    end(i, state_.counts.failed);
  }

  void end(size_t i, size_t& count) {
    ++count;
    take_defaults(plan_, i, state_.tasks[i]);
    if (plan_.tasks[i].is_finally) {
      --state_.finally_left;
      return;
    }
    --state_.dag_left;
    for (size_t dependent : plan_.tasks[i].dependents) {
      TaskState& child = state_.tasks[dependent];
      if (--child.waiting_for == 0 && child.phase == Phase::Waiting) make_ready({dependent, 0});
    }
  }

  const dag::Plan& plan_;
  State& state_;
};

}  // namespace

void apply(const dag::Plan& plan, State& state, const Event& event) {
  Fold fold(plan, state);
  if (event.kind == Event::Kind::RunStarted) return fold.run_started(event);
  if (!state.has_started || state.has_finished) return;
  if (event.task != Event::kNoTask &&
      (event.task >= plan.tasks.size() || event.run >= state.tasks[event.task].run_count()))
    return;
  const TaskRunId id{event.task, event.run};
  switch (event.kind) {
    case Event::Kind::RunStarted:
      break;
    case Event::Kind::FannedOut:
      return fold.fanned_out(event.task, event);
    case Event::Kind::TaskStarted:
      return fold.task_started(id, event);
    case Event::Kind::TaskStopped:
      return fold.task_stopped(id, event);
    case Event::Kind::TaskFinished:
      return fold.task_finished(id, event);
    case Event::Kind::TaskSkipped:
      return fold.task_skipped(id, event);
    case Event::Kind::FinallyStarted:
      return fold.finally_started(event);
    case Event::Kind::CancelRequested:
      return fold.cancel_requested(event);
    case Event::Kind::TimedOut:
      return fold.timed_out(event);
    case Event::Kind::RunBroken:
      return fold.run_broken(event);
    case Event::Kind::RunFinished:
      return fold.run_finished(event);
  }
}

}  // namespace kiln::executor
