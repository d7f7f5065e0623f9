#include "executor/state.h"

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
      if (state_.tasks[i].waiting_for == 0) make_ready(i);
    }
  }

  void task_started(size_t i, const Event& event) {
    TaskState& task = state_.tasks[i];
    if (task.phase != Phase::Ready || event.attempt != task.attempt) return;
    state_.ready.erase(i);
    task.phase = Phase::Running;
    task.started = event.at;
    task.reason = "Running";
    ++state_.running;
    if (plan_.tasks[i].timeout > Duration{}) state_.deadlines.insert({deadline(i), i});
  }

  void task_stopped(size_t i, const Event& event) {
    TaskState& task = state_.tasks[i];
    if (task.phase != Phase::Running || event.attempt != task.attempt || !task.stop_reason.empty()) return;
    task.stop_reason = event.reason;
    task.stop_message = event.message;
    state_.deadlines.erase({deadline(i), i});
  }

  void task_finished(size_t i, const Event& event) {
    TaskState& task = state_.tasks[i];
    if ((task.phase != Phase::Running && task.phase != Phase::Ready) || event.attempt != task.attempt) return;
    if (task.phase == Phase::Running) {
      --state_.running;
      state_.deadlines.erase({deadline(i), i});
    } else {
      state_.ready.erase(i);
      task.started = event.at;
    }
    Outcome outcome = event.outcome;
    if (!outcome.succeeded && !task.stop_reason.empty()) {  // it ended because it was told to
      outcome.reason = task.stop_reason;
      outcome.message = task.stop_message;
    }
    const bool cancelled = !outcome.succeeded && task.stop_reason == "TaskRunCancelled";
    task.finished = event.at;
    keep_results(i, outcome);
    if (!outcome.succeeded && !cancelled && task.attempt < plan_.tasks[i].retries && !no_more_attempts(i)) {
      task.retries.push_back({task.started, task.finished, std::move(outcome)});
      task.stop_reason.clear();
      task.stop_message.clear();
      task.results.clear();
      task.reason = "ToBeRetried";
      ++task.attempt;
      make_ready(i);
      return;
    }
    task.reason = outcome.reason;
    task.message = outcome.message;
    task.infrastructure = outcome.infrastructure;
    task.steps = std::move(outcome.steps);
    if (outcome.succeeded) {
      end(i, Phase::Succeeded, state_.counts.succeeded);
    } else if (cancelled) {
      // Ended by a timeout of the run counts as failed (pipelinerunstate.go, isCancelledForTimeOut).
      end(i, Phase::Cancelled, run_timed_out(i) ? state_.counts.failed : state_.counts.cancelled);
      state_.stopping = true;
    } else if (plan_.tasks[i].continue_on_error) {
      task.ignored = true;
      task.reason = "FailureIgnored";
      end(i, Phase::Failed, state_.counts.ignored);
    } else {
      end(i, Phase::Failed, state_.counts.failed);
      state_.stopping = true;
    }
  }

  void task_skipped(size_t i, const Event& event) {
    TaskState& task = state_.tasks[i];
    if (task.phase != Phase::Waiting && task.phase != Phase::Ready) return;
    state_.ready.erase(i);
    task.finished = event.at;
    if (task.attempt > 0) {  // between two attempts: it ran, so it is no skipped task
      task.reason = "TaskRunCancelled";
      task.message = "cancelled before its next attempt";
      end(i, Phase::Cancelled, run_timed_out(i) ? state_.counts.failed : state_.counts.cancelled);
      return;
    }
    task.reason = event.reason;
    if (event.reason == skip::kPipelineTimeout || event.reason == skip::kTasksTimeout ||
        event.reason == skip::kFinallyTimeout)
      ++state_.counts.skipped_by_timeout;
    end(i, Phase::Skipped, state_.counts.skipped);
  }

  void finally_started(const Event& event) {
    if (state_.in_finally) return;
    state_.in_finally = true;
    state_.finally_started = event.at;
    for (size_t i = plan_.dag_size; i < plan_.tasks.size(); ++i)
      if (state_.tasks[i].phase == Phase::Waiting) make_ready(i);
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

  void run_finished(const Event& event) {
    if (state_.has_finished) return;
    for (size_t i = 0; i < state_.tasks.size(); ++i) {  // only in a run that was lost
      TaskState& task = state_.tasks[i];
      if (is_terminal(task.phase)) continue;
      const bool ran = task.phase == Phase::Running || task.attempt > 0;
      if (task.phase == Phase::Running) --state_.running;
      state_.deadlines.erase({deadline(i), i});
      state_.ready.erase(i);
      task.finished = event.at;
      task.reason = ran ? "TaskRunCancelled" : std::string(skip::kNone);
      task.message = ran ? event.message : "";
      end(i, ran ? Phase::Cancelled : Phase::Skipped, ran ? state_.counts.cancelled : state_.counts.skipped);
    }
    state_.ready.clear();
    state_.has_finished = true;
    state_.finished = event.at;
    state_.reason = event.reason;
    state_.message = event.message;
  }

 private:
  Time deadline(size_t i) const { return state_.tasks[i].started + plan_.tasks[i].timeout; }

  void make_ready(size_t i) {
    state_.tasks[i].phase = Phase::Ready;
    state_.ready.insert(i);
  }

  bool run_timed_out(size_t i) const {
    return state_.pipeline_timed_out ||
           (plan_.tasks[i].is_finally ? state_.finally_timed_out : state_.tasks_timed_out);
  }

  bool no_more_attempts(size_t i) const {
    return run_timed_out(i) || state_.cancel == Cancel::Now ||
           (!plan_.tasks[i].is_finally && state_.cancel == Cancel::RunFinally);
  }

  void keep_results(size_t i, const Outcome& outcome) {
    for (const dag::ResultSpec& spec : plan_.tasks[i].spec->results) {
      const auto bytes = outcome.results.find(spec.name.value);
      if (bytes == outcome.results.end()) continue;
      if (auto value = dag::parse_result(spec.type, bytes->second))
        state_.tasks[i].results.insert_or_assign(spec.name.value, std::move(*value));
    }
  }

  void end(size_t i, Phase phase, size_t& count) {
    state_.tasks[i].phase = phase;
    ++count;
    if (plan_.tasks[i].is_finally) {
      --state_.finally_left;
      return;
    }
    --state_.dag_left;
    for (size_t dependent : plan_.tasks[i].dependents) {
      TaskState& child = state_.tasks[dependent];
      if (--child.waiting_for == 0 && child.phase == Phase::Waiting) make_ready(dependent);
    }
  }

  const dag::Plan& plan_;
  State& state_;
};

}  // namespace

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::Waiting:
      return "Waiting";
    case Phase::Ready:
      return "Ready";
    case Phase::Running:
      return "Running";
    case Phase::Succeeded:
      return "Succeeded";
    case Phase::Failed:
      return "Failed";
    case Phase::Cancelled:
      return "Cancelled";
    case Phase::Skipped:
      return "Skipped";
  }
  return "";
}

bool State::succeeded() const {
  return has_finished && (reason == "Succeeded" || reason == "Completed");
}

void apply(const dag::Plan& plan, State& state, const Event& event) {
  Fold fold(plan, state);
  if (event.kind == Event::Kind::RunStarted) return fold.run_started(event);
  if (!state.has_started || state.has_finished) return;
  if (event.task != Event::kNoTask && event.task >= plan.tasks.size()) return;
  switch (event.kind) {
    case Event::Kind::RunStarted:
      break;
    case Event::Kind::TaskStarted:
      return fold.task_started(event.task, event);
    case Event::Kind::TaskStopped:
      return fold.task_stopped(event.task, event);
    case Event::Kind::TaskFinished:
      return fold.task_finished(event.task, event);
    case Event::Kind::TaskSkipped:
      return fold.task_skipped(event.task, event);
    case Event::Kind::FinallyStarted:
      return fold.finally_started(event);
    case Event::Kind::CancelRequested:
      return fold.cancel_requested(event);
    case Event::Kind::TimedOut:
      return fold.timed_out(event);
    case Event::Kind::RunFinished:
      return fold.run_finished(event);
  }
}

const dag::ParamValue* StateFacts::result(size_t task, std::string_view name) const {
  const TaskState& state = state_.tasks[task];
  const auto found = state.results.find(name);
  return found == state.results.end() || !is_terminal(state.phase) ? nullptr : &found->second;
}

std::string_view StateFacts::status(size_t task) const {
  switch (state_.tasks[task].phase) {
    case Phase::Succeeded:
      return "Succeeded";
    case Phase::Failed:
    case Phase::Cancelled:
      return "Failed";
    default:
      return "None";
  }
}

std::string_view StateFacts::reason(size_t task) const {
  const TaskState& state = state_.tasks[task];
  return state.phase == Phase::Skipped ? std::string_view("None") : std::string_view(state.reason);
}

std::string_view StateFacts::aggregate_status() const {
  if (!state_.in_finally) return "None";
  bool skipped = false;
  for (size_t i = 0; i < plan_.dag_size; ++i) {
    const TaskState& task = state_.tasks[i];
    if (task.phase == Phase::Cancelled || (task.phase == Phase::Failed && !task.ignored)) return "Failed";
    skipped |= task.phase == Phase::Skipped;
  }
  return skipped ? "Completed" : "Succeeded";
}

}  // namespace kiln::executor
