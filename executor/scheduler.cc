#include "executor/scheduler.h"

#include <algorithm>

#include "executor/run_condition.h"

namespace kiln::executor {
namespace {

// One call of advance() or tick().
class Turn {
 public:
  Turn(const dag::Plan& plan, const Scheduler::Options& options, const std::vector<size_t>& fail_fast,
       State& state, Time now)
      : plan_(plan), options_(options), fail_fast_(fail_fast), state_(state), now_(now) {}

  void emit(Event event) {
    apply(plan_, state_, event);
    log_.push_back(std::move(event));
  }

  void cancel(std::string_view how) { emit(event(Event::Kind::CancelRequested, how)); }

  std::vector<Event> settle() {
    if (state_.has_started && !state_.has_finished) {
      check_run_timeouts();
      stop_running();
      check_task_timeouts();
      stop_failed_matrices();
      if (!state_.in_finally) {
        if (const std::string_view reason = why_nothing_starts(); !reason.empty())
          skip_unstarted(0, plan_.dag_size, reason);
        start_ready();
        if (state_.dag_left == 0) enter_finally();
      }
      if (state_.in_finally) {
        if (const std::string_view reason = why_no_finally_starts(); !reason.empty())
          skip_unstarted(plan_.dag_size, plan_.tasks.size(), reason);
        start_ready();
      }
      if (state_.dag_left == 0 && state_.finally_left == 0) finish();
    }
    return std::move(log_);
  }

 private:
  Event event(Event::Kind kind, std::string_view reason = {}, std::string_view message = {}) const {
    return {.kind = kind, .at = now_, .reason = std::string(reason), .message = std::string(message)};
  }
  Event task_event(Event::Kind kind, size_t task, std::string_view reason = {},
                   std::string_view message = {}) const {
    Event out = event(kind, reason, message);
    out.task = task;
    out.attempt = state_.tasks[task].attempt;
    return out;
  }
  Event run_event(Event::Kind kind, TaskRunId id, std::string_view reason = {},
                  std::string_view message = {}) const {
    Event out = event(kind, reason, message);
    out.task = id.task;
    out.run = id.run;
    out.attempt = state_.tasks[id.task].run(id.run).attempt;
    return out;
  }

  static bool past(Time start, Duration limit, Time now) {
    return limit > Duration{} && now >= start + limit;
  }

  void check_run_timeouts() {
    if (!state_.pipeline_timed_out && past(state_.started, plan_.timeout, now_))
      emit(event(Event::Kind::TimedOut, "pipeline"));
    if (!state_.tasks_timed_out && state_.dag_left > 0 && past(state_.started, plan_.tasks_timeout, now_))
      emit(event(Event::Kind::TimedOut, "tasks"));
    if (!state_.finally_timed_out && state_.in_finally &&
        past(state_.finally_started, plan_.finally_timeout, now_))
      emit(event(Event::Kind::TimedOut, "finally"));
  }

  // Ends what runs and must not go on.
  void stop_running() {
    const bool timed_out = state_.pipeline_timed_out || state_.tasks_timed_out || state_.finally_timed_out;
    if (state_.running == 0 || (!timed_out && state_.cancel == Cancel::No && !state_.is_broken())) return;
    for (size_t i = 0; i < state_.tasks.size(); ++i)
      if (const std::string_view why = why_stopped(i); !why.empty())
        for (size_t k = 0; k < state_.tasks[i].run_count(); ++k) {
          const TaskRunState& run = state_.tasks[i].run(k);
          if (run.phase == Phase::Running && run.stop_reason.empty()) stop({i, k}, why);
        }
  }

  // As Tekton says it of a child that its run, or its matrix, ends; of a PipelineRun it gives no cause.
  void stop(TaskRunId id, std::string_view why) {
    const dag::PlannedTask& task = plan_.tasks[id.task];
    const ChildWords words = child_words(task);
    const std::string kind(words.kind);
    std::string message = kind + " \"" + name_of(id) + "\" was cancelled";
    if (task.kind != dag::PlannedTask::Kind::Pipeline)
      message += ". " + kind + " cancelled as " + std::string(why);
    emit(run_event(Event::Kind::TaskStopped, id, words.cancelled, message));
  }

  std::string name_of(TaskRunId id) const {
    return object_name(plan_, id.task, options_.context.run_name, index_of(state_, id));
  }

  std::string_view why_stopped(size_t i) const {
    const bool is_finally = plan_.tasks[i].is_finally;
    if (state_.pipeline_timed_out || (is_finally ? state_.finally_timed_out : state_.tasks_timed_out))
      return "the PipelineRun it belongs to has timed out.";
    if (state_.is_broken()) return "the PipelineRun it belongs to has failed.";
    if (state_.cancel == Cancel::Now || (state_.cancel == Cancel::RunFinally && !is_finally))
      return "the PipelineRun it belongs to has been cancelled.";
    return {};
  }

  void check_task_timeouts() {
    while (!state_.deadlines.empty() && state_.deadlines.begin()->first <= now_) {
      const TaskRunId id = state_.deadlines.begin()->second;
      const dag::PlannedTask& task = plan_.tasks[id.task];
      const ChildWords words = child_words(task);
      emit(run_event(Event::Kind::TaskStopped, id, words.timed_out,
                     std::string(words.kind) + " \"" + name_of(id) + "\" failed to finish within \"" +
                         go_duration(task.timeout) + "\""));
    }
  }

  void stop_failed_matrices() {
    for (const size_t i : fail_fast_) {
      const TaskState& task = state_.tasks[i];
      if (is_terminal(task.phase) ||
          std::ranges::find(task.runs, Phase::Failed, &TaskRunState::phase) == task.runs.end())
        continue;
      for (size_t k = 0; k < task.runs.size() && !is_terminal(task.phase); ++k) {
        const TaskRunState& run = task.runs[k];
        if (run.phase == Phase::Ready)
          emit(run_event(Event::Kind::TaskSkipped, {i, k}));
        else if (run.phase == Phase::Running && run.stop_reason.empty())
          stop({i, k},
               "another " + std::string(child_words(plan_.tasks[i]).kind) + " of its matrix has failed.");
      }
    }
  }

  // Tekton's order of skip checks.
  std::string_view why_nothing_starts() const {
    if (state_.cancel == Cancel::Now || state_.is_broken()) return skip::kNone;
    if (state_.pipeline_timed_out && !state_.stopping) return skip::kPipelineTimeout;
    if (state_.tasks_timed_out && !state_.stopping) return skip::kTasksTimeout;
    if (state_.cancel == Cancel::RunFinally) return skip::kCancelled;
    if (state_.cancel == Cancel::StopRunFinally) return skip::kStopped;
    if (state_.stopping) return skip::kStopping;
    return {};
  }

  std::string_view why_no_finally_starts() const {
    if (state_.cancel == Cancel::Now || state_.is_broken()) return skip::kNone;
    if (state_.pipeline_timed_out) return skip::kPipelineTimeout;
    if (state_.finally_timed_out) return skip::kFinallyTimeout;
    return {};
  }

  // A task between two attempts, or a matrix that has fanned out, goes on when another task has failed, but
  // not when the run is being ended.
  void skip_unstarted(size_t begin, size_t end, std::string_view reason) {
    const bool goes_on = reason == skip::kStopping || reason == skip::kStopped;
    for (size_t i = begin; i < end; ++i)
      for (size_t k = 0; k < state_.tasks[i].run_count(); ++k) {
        const TaskRunState& run = state_.tasks[i].run(k);
        const bool unstarted = run.phase == Phase::Waiting || run.phase == Phase::Ready;
        const bool under_way = run.attempt > 0 || !state_.tasks[i].runs.empty();
        if (unstarted && !(under_way && goes_on)) emit(run_event(Event::Kind::TaskSkipped, {i, k}, reason));
      }
  }

  bool parent_was_skipped(size_t i) const {
    return std::ranges::any_of(plan_.tasks[i].needs, [&](const dag::Edge& edge) {
      const TaskState& parent = state_.tasks[edge.from];
      return !plan_.tasks[i].is_finally && parent.phase == Phase::Skipped && parent.reason != skip::kWhen &&
             !has_defaults(i, edge.from);
    });
  }

  // Everything that the task wants of this parent has a default.
  bool has_defaults(size_t i, size_t parent) const {
    if (state_.tasks[parent].defaults.empty()) return false;
    size_t wanted = 0;
    for (const dag::ResultUse& use : plan_.tasks[i].uses) {
      if (use.task != parent) continue;
      if (!state_.tasks[parent].defaults.contains(use.result)) return false;
      ++wanted;
    }
    return wanted > 0;
  }

  void start_ready() {
    const StateFacts facts(plan_, state_);
    while (!state_.ready.empty() && state_.running < std::max<size_t>(1, options_.jobs)) {
      const TaskRunId id = *state_.ready.begin();
      const size_t i = id.task;
      if (state_.tasks[i].run(id.run).attempt > 0 || !state_.tasks[i].runs.empty()) {
        begin(id);
        continue;
      }
      const dag::Readiness readiness = dag::check_ready(plan_, i, facts, options_.context);
      if (readiness.kind == dag::Readiness::Kind::Invalid)  // Tekton looks at this before it skips anything
        break_off(readiness);
      else if (readiness.kind == dag::Readiness::Kind::WhenFalse)
        emit(task_event(Event::Kind::TaskSkipped, i, skip::kWhen));
      else if (parent_was_skipped(i))
        emit(task_event(Event::Kind::TaskSkipped, i, skip::kParent));
      else if (readiness.kind == dag::Readiness::Kind::MissingResults)
        go_without(i, readiness);
      else if (readiness.kind == dag::Readiness::Kind::EmptyMatrix)
        emit(task_event(Event::Kind::TaskSkipped, i, skip::kEmptyMatrix));
      else
        start(i);
      if (state_.stopping && !state_.in_finally) skip_unstarted(0, plan_.dag_size, skip::kStopping);
    }
  }

  // Who wants a result that its task should have left, and nothing excuses it, is wrong: the run ends.
  void go_without(size_t i, const dag::Readiness& readiness) {
    const dag::PlannedTask& task = plan_.tasks[i];
    const bool unwanted = std::ranges::any_of(readiness.missing, [&](const dag::ResultUse& use) {
      return state_.tasks[use.task].phase == Phase::Skipped && state_.tasks[use.task].reason == skip::kWhen;
    });
    if (task.is_finally || task.continue_on_error || unwanted)
      return emit(task_event(Event::Kind::TaskSkipped, i, skip::kMissingResults));
    const dag::ResultUse& use = readiness.missing.front();
    const std::string& producer = plan_.tasks[use.task].name;
    emit(task_event(Event::Kind::TaskSkipped, i, skip::kInvalid,
                    state_.tasks[use.task].phase == Phase::Succeeded
                        ? "task \"" + producer + "\" completed successfully but did not emit the result \"" +
                              use.result + "\", which is referenced by task \"" + task.name + "\""
                        : "invalid result reference: Could not find result with name " + use.result +
                              " for pipeline task " + producer));
  }

  void start(size_t i) {
    if (!plan_.tasks[i].matrix) return begin({i, 0});
    Event fanned = task_event(Event::Kind::FannedOut, i);
    fanned.count = dag::resolve_matrix(plan_, i, StateFacts(plan_, state_), options_.context).size();
    emit(std::move(fanned));
  }

  void begin(TaskRunId id) {
    const auto earlier = options_.reuse.find(id);
    if (earlier == options_.reuse.end()) return emit(run_event(Event::Kind::TaskStarted, id));
    Event finished = run_event(Event::Kind::TaskFinished, id);
    finished.outcome = earlier->second;
    emit(std::move(finished));
  }

  // What a task asks for makes no sense: the run itself has failed, not the task, and `finally` goes with it.
  void break_off(const dag::Readiness& readiness) {
    emit(event(Event::Kind::RunBroken, readiness.reason, readiness.message));
    stop_running();
    skip_unstarted(state_.in_finally ? plan_.dag_size : 0,
                   state_.in_finally ? plan_.tasks.size() : plan_.dag_size, skip::kNone);
  }

  void enter_finally() {
    if (state_.finally_left == 0) return;
    emit(event(Event::Kind::FinallyStarted));
  }

  void finish() {
    const RunCondition end = end_condition(plan_, state_, options_.context);
    emit(event(Event::Kind::RunFinished, end.reason, end.message));
  }

  const dag::Plan& plan_;
  const Scheduler::Options& options_;
  const std::vector<size_t>& fail_fast_;
  State& state_;
  Time now_;
  std::vector<Event> log_;
};

}  // namespace

Scheduler::Scheduler(const dag::Plan& plan, Options options) : plan_(plan), options_(std::move(options)) {
  for (size_t i = 0; i < plan.tasks.size(); ++i)
    if (plan.tasks[i].matrix && dag::annotation_of(plan, plan.tasks[i], dag::annotation::kFailFast) == "true")
      fail_fast_.push_back(i);
}

std::vector<Event> Scheduler::advance(State& state, Event event, Time now) const {
  Turn turn(plan_, options_, fail_fast_, state, now);
  const bool born = event.kind == Event::Kind::RunStarted;
  if (born && event.reason.empty() && !is_pending(plan_)) event.reason = plan_.status;
  const std::string end_at_once = born ? event.reason : "";
  turn.emit(std::move(event));
  if (!end_at_once.empty()) turn.cancel(end_at_once);
  return turn.settle();
}

std::vector<Event> Scheduler::tick(State& state, Time now) const {
  return Turn(plan_, options_, fail_fast_, state, now).settle();
}

std::optional<Time> Scheduler::next_deadline(const State& state) const {
  if (!state.has_started || state.has_finished) return std::nullopt;
  std::optional<Time> next;
  const auto consider = [&](Time time) { next = next ? std::min(*next, time) : time; };
  if (plan_.timeout > Duration{} && !state.pipeline_timed_out) consider(state.started + plan_.timeout);
  if (plan_.tasks_timeout > Duration{} && !state.tasks_timed_out && state.dag_left > 0)
    consider(state.started + plan_.tasks_timeout);
  if (plan_.finally_timeout > Duration{} && !state.finally_timed_out && state.in_finally)
    consider(state.finally_started + plan_.finally_timeout);
  if (!state.deadlines.empty()) consider(state.deadlines.begin()->first);
  return next;
}

}  // namespace kiln::executor
