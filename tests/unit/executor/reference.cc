#include "tests/unit/executor/reference.h"

#include <algorithm>

namespace kiln::executor::testing {

Reference::Reference(const RandomPlan& random, const dag::Plan& plan, size_t jobs)
    : random_(random), plan_(plan), jobs_(jobs), tasks_(random.tasks.size()) {}

void Reference::begin(Time now) {
  began_ = now_ = now;
  work_out();
}

void Reference::finished(TaskRunId id, bool succeeded, std::optional<std::string> result, Time now) {
  now_ = now;
  const RandomTask& task = random_.tasks[id.task];
  Run& run = tasks_[id.task].runs.at(id.run);
  const bool cancelled = !succeeded && run.told && !run.told_by_timeout;
  const bool run_is_ending = broken_ || timed_out(task.is_finally) || cancel_ == Cancel::Now ||
                             (cancel_ == Cancel::RunFinally && !task.is_finally);
  run.result = std::move(result);
  if (!succeeded && !cancelled && run.attempt < task.retries && !run_is_ending)
    run = {.is = Is::Unstarted, .attempt = run.attempt + 1};
  else
    run.is = succeeded ? Is::Succeeded : cancelled ? Is::Cancelled : Is::Failed;
  tasks_[id.task].ended_by_timeout = timed_out(task.is_finally);
  work_out();
}

void Reference::cancel(Cancel mode, Time now) {
  now_ = now;
  cancel_ = std::max(cancel_, mode);
  work_out();
}

void Reference::tick(Time now) {
  now_ = now;
  work_out();
}

// What the runs of a task come to.
Reference::Is Reference::of(size_t task) const {
  const std::vector<Run>& runs = tasks_[task].runs;
  const auto any = [&](Is is) { return std::ranges::find(runs, is, &Run::is) != runs.end(); };
  if (std::ranges::all_of(runs, [](const Run& run) { return is_over(run.is); }))
    return any(Is::Failed) ? Is::Failed : any(Is::Cancelled) ? Is::Cancelled : runs.front().is;
  return any(Is::Running) || tasks_[task].fanned_out ? Is::Running : Is::Unstarted;
}

bool Reference::all_over(bool finally) const {
  for (size_t i = 0; i < tasks_.size(); ++i)
    if (random_.tasks[i].is_finally == finally && !is_over(of(i))) return false;
  return true;
}

bool Reference::has_finally() const {
  return random_.tasks.back().is_finally;
}

bool Reference::stopping() const {
  for (size_t i = 0; i < tasks_.size(); ++i)
    if (of(i) == Is::Cancelled || (of(i) == Is::Failed && !random_.tasks[i].ignore) || is_invalid(i))
      return true;
  return false;
}

size_t Reference::running() const {
  size_t count = 0;
  for (const Task& task : tasks_)
    count += static_cast<size_t>(std::ranges::count(task.runs, Is::Running, &Run::is));
  return count;
}

bool Reference::timed_out(bool finally) const {
  return pipeline_late_ || (finally ? finally_late_ : tasks_late_);
}

bool Reference::result_known(size_t task) const {
  const auto has = [](const Run& run) { return run.result.has_value(); };
  if (!is_over(of(task))) return false;
  return std::ranges::any_of(tasks_[task].runs, has) || random_.tasks[task].has_default;
}

std::string Reference::result_text(size_t task) const {
  const std::optional<std::string>& left = tasks_[task].runs.front().result;
  const bool counts = left && (of(task) == Is::Succeeded || !random_.tasks[task].has_default);
  return counts ? *left : "1";  // the default
}

bool Reference::when_is_false(size_t task) const {
  for (const size_t k : random_.tasks[task].when) {
    if (random_.tasks[task].is_finally) {
      if (of(k) != Is::Succeeded) return true;
    } else if (result_known(k) && result_text(k) != "1") {
      return true;
    }
  }
  return false;
}

// Its `when` divides by a result that is 0.
bool Reference::when_breaks(size_t task) const {
  const RandomTask& one = random_.tasks[task];
  return one.divides &&
         std::ranges::any_of(one.when, [&](size_t k) { return result_known(k) && result_text(k) == "0"; });
}

// The tasks that left no result for it.
std::vector<size_t> Reference::lacking(size_t task) const {
  const RandomTask& one = random_.tasks[task];
  std::vector<size_t> out;
  for (const size_t k : one.uses)
    if (!result_known(k)) out.push_back(k);
  for (const size_t k : one.when)
    if (!one.is_finally && !result_known(k)) out.push_back(k);
  return out;
}

// Why who lacks results does not run.
std::string Reference::why_without(size_t task) const {
  const auto unwanted = [&](size_t k) {
    return of(k) == Is::Skipped && tasks_[k].skip_reason == skip::kWhen;
  };
  const bool excused = random_.tasks[task].is_finally || random_.tasks[task].ignore ||
                       std::ranges::any_of(lacking(task), unwanted);
  return std::string(excused ? skip::kMissingResults : skip::kInvalid);
}

bool Reference::is_invalid(size_t task) const {
  return of(task) == Is::Skipped && tasks_[task].skip_reason == skip::kInvalid;
}

// A parent was skipped, not by its own `when`, and a default does not make up for it.
bool Reference::lost_its_parent(size_t task) const {
  const RandomTask& one = random_.tasks[task];
  if (one.is_finally) return false;
  const auto is_lost = [&](size_t k) {
    if (of(k) != Is::Skipped || tasks_[k].skip_reason == skip::kWhen) return false;
    const bool wants =
        std::ranges::find(one.uses, k) != one.uses.end() || std::ranges::find(one.when, k) != one.when.end();
    return !(wants && random_.tasks[k].has_default);
  };
  for (const auto* parents : {&one.after, &one.uses, &one.when})
    if (std::ranges::any_of(*parents, is_lost)) return true;
  return false;
}

std::string Reference::why_nothing_starts(bool finally) const {
  if (cancel_ == Cancel::Now || broken_) return std::string(skip::kNone);
  if (finally) {
    if (pipeline_late_) return std::string(skip::kPipelineTimeout);
    return finally_late_ ? std::string(skip::kFinallyTimeout) : "";
  }
  if (!stopping() && pipeline_late_) return std::string(skip::kPipelineTimeout);
  if (!stopping() && tasks_late_) return std::string(skip::kTasksTimeout);
  if (cancel_ == Cancel::RunFinally) return std::string(skip::kCancelled);
  if (cancel_ == Cancel::StopRunFinally) return std::string(skip::kStopped);
  return stopping() ? std::string(skip::kStopping) : "";
}

void Reference::work_out() {
  if (over_) return;
  const auto late = [&](Time since, Duration limit) { return limit > Duration{} && now_ - since >= limit; };
  pipeline_late_ |= late(began_, plan_.timeout);
  tasks_late_ |= !all_over(false) && late(began_, plan_.tasks_timeout);
  finally_late_ |= in_finally_ && late(finally_began_, plan_.finally_timeout);
  stop_what_must_stop();
  stop_failed_matrices();
  for (const bool finally : {false, true}) {
    if (finally && !in_finally_) {
      if (!all_over(false) || !has_finally()) break;
      in_finally_ = true;
      finally_began_ = now_;
    }
    if (finally != in_finally_) continue;
    if (const std::string why = why_nothing_starts(finally); !why.empty()) skip_unstarted(finally, why);
    while (running() < jobs_ && start_one()) {
    }
  }
  over_ = all_over(false) && all_over(true);
}

void Reference::stop_what_must_stop() {
  for (size_t i = 0; i < tasks_.size(); ++i) {
    const bool finally = random_.tasks[i].is_finally;
    const bool end = broken_ || timed_out(finally) || cancel_ == Cancel::Now ||
                     (cancel_ == Cancel::RunFinally && !finally);
    for (Run& run : tasks_[i].runs) {
      if (run.is != Is::Running || run.told) continue;
      const Duration limit = plan_.tasks[i].timeout;
      run.told_by_timeout = !end && limit > Duration{} && now_ >= run.started + limit;
      run.told = end || run.told_by_timeout;
    }
  }
}

void Reference::stop_failed_matrices() {
  for (size_t i = 0; i < tasks_.size(); ++i) {
    Task& task = tasks_[i];
    if (!random_.tasks[i].fail_fast || std::ranges::find(task.runs, Is::Failed, &Run::is) == task.runs.end())
      continue;
    for (Run& run : task.runs) {
      if (run.is == Is::Unstarted) run.is = Is::Cancelled;
      run.told |= run.is == Is::Running;
    }
    task.ended_by_timeout = timed_out(random_.tasks[i].is_finally);
  }
}

void Reference::skip_unstarted(bool finally, const std::string& reason) {
  const bool goes_on = reason == skip::kStopping || reason == skip::kStopped;
  for (size_t i = 0; i < tasks_.size(); ++i) {
    if (random_.tasks[i].is_finally != finally) continue;
    for (size_t k = 0; k < tasks_[i].runs.size(); ++k) {
      const Run& run = tasks_[i].runs[k];
      const bool has_begun = run.attempt > 0 || tasks_[i].fanned_out;
      if (run.is == Is::Unstarted && !(has_begun && goes_on)) skip({i, k}, reason);
    }
  }
}

void Reference::skip(TaskRunId id, const std::string& reason) {
  Task& task = tasks_[id.task];
  Run& run = task.runs[id.run];
  const bool has_begun = run.attempt > 0 || task.fanned_out;
  run.is = has_begun ? Is::Cancelled : Is::Skipped;
  if (!has_begun) task.skip_reason = reason;
  task.ended_by_timeout = timed_out(random_.tasks[id.task].is_finally);
}

bool Reference::wants_turn(TaskRunId id) const {
  const RandomTask& one = random_.tasks[id.task];
  if (tasks_[id.task].runs[id.run].is != Is::Unstarted || one.is_finally != in_finally_) return false;
  const auto over = [&](size_t k) { return is_over(of(k)); };
  return one.is_finally || (std::ranges::all_of(one.after, over) && std::ranges::all_of(one.uses, over) &&
                            std::ranges::all_of(one.when, over));
}

// The first that wants it gets the free place, or is skipped; false when nobody does.
bool Reference::start_one() {
  for (size_t i = 0; i < tasks_.size(); ++i)
    for (size_t k = 0; k < tasks_[i].runs.size(); ++k) {
      if (!wants_turn({i, k})) continue;
      Task& task = tasks_[i];
      const bool has_begun = task.runs[k].attempt > 0 || task.fanned_out;
      if (!has_begun && when_breaks(i)) {
        broken_ = true;
        stop_what_must_stop();
        return skip_unstarted(false, std::string(skip::kNone)), false;
      }
      if (!has_begun && when_is_false(i)) return skip({i, k}, std::string(skip::kWhen)), true;
      if (!has_begun && lost_its_parent(i)) return skip({i, k}, std::string(skip::kParent)), true;
      if (!has_begun && !lacking(i).empty()) {
        skip({i, k}, why_without(i));
        if (is_invalid(i)) skip_unstarted(false, std::string(skip::kStopping));
        return true;
      }
      if (!task.fanned_out && random_.tasks[i].combinations > 0) {
        task.fanned_out = true;
        task.runs.resize(random_.tasks[i].combinations);
      }
      task.runs[k].is = Is::Running;
      task.runs[k].started = now_;
      return true;
    }
  return false;
}

std::string_view Reference::word(Is is) {
  static constexpr std::string_view kWords[] = {"Unstarted", "Running",   "Succeeded",
                                                "Failed",    "Cancelled", "Skipped"};
  return kWords[static_cast<size_t>(is)];
}

std::string Reference::describe() const {
  std::string out;
  size_t failed = 0, ignored = 0, cancelled = 0, skipped = 0, late = 0, succeeded = 0, invalid = 0;
  for (size_t i = 0; i < tasks_.size(); ++i) {
    const Is is = of(i);
    out += "t" + std::to_string(i) + " " + std::string(word(is));
    if (tasks_[i].fanned_out)
      for (const Run& run : tasks_[i].runs) out += " " + std::string(word(run.is));
    out += is == Is::Skipped ? ": " + tasks_[i].skip_reason + "\n" : "\n";
    succeeded += is == Is::Succeeded;
    invalid += is_invalid(i);
    skipped += is == Is::Skipped && !is_invalid(i);
    late += is == Is::Skipped && tasks_[i].skip_reason.find("timeout") != std::string::npos;
    if (is == Is::Cancelled) ++(tasks_[i].ended_by_timeout ? failed : cancelled);
    if (is == Is::Failed) ++(random_.tasks[i].ignore ? ignored : failed);
  }
  if (!over_) return out;
  const std::string reason = broken_                                  ? "CELEvaluationFailed"
                             : cancel_ == Cancel::Now                 ? "Cancelled"
                             : pipeline_late_ || tasks_late_          ? "PipelineRunTimeout"
                             : invalid > 0                            ? "PipelineValidationFailed"
                             : failed + late > 0                      ? "Failed"
                             : cancel_ != Cancel::No || cancelled > 0 ? "Cancelled"
                             : skipped > 0                            ? "Completed"
                                                                      : "Succeeded";
  return out + reason + " " + std::to_string(succeeded) + " " + std::to_string(failed) + " " +
         std::to_string(ignored) + " " + std::to_string(cancelled) + " " + std::to_string(skipped) + " " +
         std::to_string(invalid) + "\n";
}

std::string describe_state(const dag::Plan& plan, const State& state) {
  const auto word = [](Phase phase) {
    return phase == Phase::Waiting || phase == Phase::Ready ? std::string_view("Unstarted")
                                                            : to_string(phase);
  };
  std::string out;
  for (size_t i = 0; i < plan.tasks.size(); ++i) {
    const TaskState& task = state.tasks[i];
    out += plan.tasks[i].name + " " + std::string(word(task.phase));
    for (const TaskRunState& run : task.runs) out += " " + std::string(word(run.phase));
    out += task.phase == Phase::Skipped ? ": " + task.reason + "\n" : "\n";
  }
  if (!state.has_finished) return out;
  const Counts& c = state.counts;
  return out + state.reason + " " + std::to_string(c.succeeded) + " " + std::to_string(c.failed) + " " +
         std::to_string(c.ignored) + " " + std::to_string(c.cancelled) + " " + std::to_string(c.skipped) +
         " " + std::to_string(c.invalid) + "\n";
}

}  // namespace kiln::executor::testing
