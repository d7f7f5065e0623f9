#include "executor/live_run.h"

#include <cerrno>
#include <unistd.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "executor/control.h"
#include "executor/pod_places.h"
#include "executor/run_lock.h"
#include "executor/secrets.h"
#include "steps/host_passwords.h"

namespace kiln::executor {
namespace {

// However far the next deadline is: a clock that was set back must not make us sleep for years.
constexpr Duration kLongestWait = std::chrono::minutes(1);

// A lock cannot be waited for together with whatever else may happen to a run: it is tried again and again.
constexpr Duration kTurnInterval = std::chrono::milliseconds(50);

// A run that goes on from another one's works in the folders of that one, where it has kept them.
void share_workspaces(const fs::path& theirs, const fs::path& ours) {
  std::error_code problem;
  const fs::path kept = fs::canonical(theirs, problem);
  if (problem.value() == ENOENT) return;
  if (!problem && !fs::exists(ours, problem) && !problem) fs::create_directory_symlink(kept, ours, problem);
  if (problem) throw_errno(problem.value(), "cannot use the workspaces in " + theirs.string());
}

}  // namespace

LiveRun::LiveRun(const RunServices& services, const dag::Plan& plan, RunRecord run, RunObserver& observer,
                 const RunOptions& options, Nesting nesting)
    : services_(services),
      plan_(plan),
      observer_(observer),
      options_(options),
      nesting_(std::move(nesting)),
      run_(std::move(run)),
      places_(pod_places(services.dirs, run_.id, options)),
      secrets_(secrets_of(plan, steps::host_passwords(current_environment()))),
      cache_(services.dirs.cache / "tasks"),
      jobs_(options.jobs > 0 ? options.jobs : std::max(2u, std::thread::hardware_concurrency())),
      scheduler_(plan, {jobs_, {run_.id, run_.uid, "default"}, options.reuse}),
      own_slots_(jobs_),
      slots_(nesting_.slots != nullptr ? *nesting_.slots : own_slots_),
      observing_(nesting_.observing != nullptr ? *nesting_.observing : own_observing_),
      workers_(jobs_, [this](Job job) {
        if (auto event = run_job(job)) post(std::move(*event));
      }) {
  make_dirs(places_.run, 0700);
  lock_ = try_lock_run(places_.run);
  if (!lock_)
    throw Error(ErrorKind::Failed, "run " + run_.id + " is being carried on by another process",
                "kiln runs describe " + run_.id + " shows how far it is");
  if (run_.owner == Owner::Nobody) {  // only now that it is locked: else it might be taken for lost
    run_.owner = Owner::Terminal;
    services.journal.set_owner(run_.id, run_.owner, services.journal.options(run_.id));
  }
  places_.images_since = is_outermost() ? std::chrono::steady_clock::now() : nesting_.images_since;
  if (!nesting_.workspaces.empty()) places_.workspaces = nesting_.workspaces;
  if (!options.workspaces.empty()) share_workspaces(options.workspaces, places_.workspaces);
  forget_pods(places_.run);
  private_ = PrivateFolder(services.dirs, places_.run, run_.uid);
  places_.secrets = private_.path();
}

RunEnd LiveRun::run(std::stop_token stop, std::stop_token kill) {
  if (is_outermost()) {
    const std::lock_guard lock(observing_);
    observer_.run_started(run_, plan_);
  }
  const std::stop_callback on_stop(stop, [this] { post_cancel("CancelledRunFinally"); });
  const std::stop_callback on_kill(kill, [this] { post_cancel("Cancelled"); });
  const std::stop_callback on_leave(options_.leave, [this] {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
    changed_.notify_all();
  });
  std::optional<ControlListener> control;
  if (is_outermost())
    control.emplace(places_.run, [this](std::string mode) { post_cancel(std::move(mode)); });
  try {
    go();
  } catch (...) {  // the journal cannot be written: end what runs, say so
    abandon();
    throw;
  }
  fetching_ = {};
  workers_.join();  // nobody is busy any more
  std::error_code ignored;
  fs::remove(places_.run / "pods", ignored);  // empty by now
  forget_secrets();
  if (!state_.has_finished) {
    if (control) control->keep_requests();
    return {run_, std::move(state_)};
  }
  run_.finished = state_.finished;
  run_.reason = state_.reason;
  run_.message = state_.message;
  const std::lock_guard lock(observing_);
  if (is_outermost()) observer_.run_finished(run_, state_);
  return {run_, std::move(state_)};
}

// False when the run is to end, or is left, before its turn comes.
bool LiveRun::wait_for_turn() {
  if (run_.group.empty()) return true;
  place_.emplace(services_.dirs, run_);
  cancel_previous(plan_, services_.journal, services_.dirs.runs(), run_);
  std::string waits_for;
  while (!place_->try_enter()) {
    if (waits_for.empty() || waits_for != place_->waits_for()) {
      waits_for = place_->waits_for();
      say_waiting();
    }
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kTurnInterval, [this] { return !inbox_.empty() || leaving_; })) return false;
  }
  if (!waits_for.empty()) services_.journal.set_waiting(run_.id, "Running", "");
  return true;
}

void LiveRun::say_waiting() {
  const std::string& other = place_->waits_for();
  services_.journal.set_waiting(run_.id, "Queued",
                                "waits for " + (other.empty() ? "another run" : "run " + other) +
                                    " of concurrency group \"" + run_.group + "\"");
  const std::lock_guard lock(observing_);
  observer_.run_waits(run_, other);
}

void LiveRun::go() {
  const bool entered = wait_for_turn();
  {
    const std::lock_guard lock(mutex_);
    if (leaving_ && inbox_.empty()) return;  // nothing has begun
  }
  begin(!entered);
  if (entered && !state_.has_finished) fetch_images();
  while (!state_.has_finished) {
    std::optional<Event> event = next_event();
    const Time at = services_.clock.now();
    {
      const std::lock_guard lock(mutex_);
      if (leaving_) {
        if (event) inbox_.push_front(std::move(*event));
        break;
      }
    }
    if (event) event->at = at;
    act(event ? scheduler_.advance(state_, std::move(*event), at) : scheduler_.tick(state_, at));
  }
  if (!state_.has_finished) leave();
}

// `cancelled` before its turn came: nothing starts, `finally` neither, since another run may be under way.
void LiveRun::begin(bool cancelled) {
  state_ = replay(services_.journal, run_.id, plan_);
  if (state_.has_finished) return;
  const Time now = services_.clock.now();
  const std::string how = cancelled ? "Cancelled" : "";
  if (!state_.has_started)
    return act(scheduler_.advance(state_, {.kind = Event::Kind::RunStarted, .at = now, .reason = how}, now));
  if (cancelled)
    act(scheduler_.advance(state_, {.kind = Event::Kind::CancelRequested, .at = now, .reason = how}, now));
  carry_on();
}

// The kiln before this one died, or left the run.
void LiveRun::carry_on() {
  const std::vector<TaskRunId> cut_off = running_task_runs(state_);
  const Time now = services_.clock.now();
  act(scheduler_.tick(state_, now));
  for (const TaskRunId id : cut_off) {
    const TaskRunState& run = state_.tasks[id.task].run(id.run);
    Event event{.kind = Event::Kind::TaskStarted, .task = id.task, .run = id.run, .attempt = run.attempt};
    if (run.stop_reason.empty()) {
      put_log_aside(id, run.attempt);
      start(event);
    } else {  // it was to end, and has
      event.kind = Event::Kind::TaskFinished;
      post(std::move(event));
    }
  }
}

fs::path LiveRun::log_folder(TaskRunId id, int attempt) const {
  return places_.run / "logs" /
         attempt_folder(task_run_label(plan_.tasks[id.task], id.run, state_.tasks[id.task].runs.size()),
                        attempt);
}

// What an attempt had said when it was cut off stays beside what it says now.
void LiveRun::put_log_aside(TaskRunId id, int attempt) {
  const fs::path folder = log_folder(id, attempt);
  fs::path aside;
  for (int n = 1; aside.empty() || fs::exists(aside); ++n)
    aside = fs::path(folder).concat(".cut-off-" + std::to_string(n));
  std::error_code said_nothing;
  fs::rename(folder, aside, said_nothing);
}

// What has ended by itself is kept; what has to be ended starts again with the next resume().
void LiveRun::leave() {
  const auto take = [this] {
    const std::lock_guard lock(mutex_);
    return std::exchange(inbox_, {});
  };
  for (Event& event : take()) record(std::move(event));
  stop_all();
  workers_.join();
  for (Event& event : take())
    if (event.kind != Event::Kind::TaskFinished || event.outcome.succeeded) record(std::move(event));
}

// Journals what follows from the event and does nothing about it.
void LiveRun::record(Event event) {
  event.at = services_.clock.now();
  const Time at = event.at;
  services_.journal.append(run_.id, plan_, scheduler_.advance(state_, std::move(event), at));
}

void LiveRun::post(Event event) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(event));
  }
  changed_.notify_all();
}

void LiveRun::post_cancel(std::string reason) {
  post({.kind = Event::Kind::CancelRequested, .reason = std::move(reason)});
}

std::optional<Event> LiveRun::next_event() {
  const std::optional<Time> deadline = scheduler_.next_deadline(state_);
  std::unique_lock lock(mutex_);
  const auto arrived = [this] { return !inbox_.empty() || leaving_; };
  if (deadline) {
    const Duration wait = std::clamp<Duration>(*deadline - services_.clock.now(), Duration{}, kLongestWait);
    if (!changed_.wait_for(lock, wait, arrived)) return std::nullopt;
  } else {
    changed_.wait(lock, arrived);
  }
  if (inbox_.empty()) return std::nullopt;
  Event event = std::move(inbox_.front());
  inbox_.pop_front();
  return event;
}

void LiveRun::act(const std::vector<Event>& events) {
  services_.journal.append(run_.id, plan_, events);
  for (const Event& event : events) {
    failpoint("action");
    const TaskRunId id{event.task, event.run};
    switch (event.kind) {
      case Event::Kind::TaskStarted:
        start(event);
        break;
      case Event::Kind::TaskStopped:
        if (const auto running = stops_.find(id); running != stops_.end()) running->second.request_stop();
        break;
      case Event::Kind::TaskFinished: {
        stops_.erase(id);
        if (plan_.tasks[id.task].custom) forget_decision(approval_file(id, event.attempt));
        const std::lock_guard lock(observing_);
        TaskRunState run = state_.tasks[id.task].run(id.run);
        if (event.attempt < run.attempt) run.phase = Phase::Ready;  // the next attempt may run already
        observer_.task_finished(running(id, event.attempt), run);
        break;
      }
      case Event::Kind::TaskSkipped: {
        const std::lock_guard lock(observing_);
        observer_.task_skipped(running(id, event.attempt), event.reason);
        break;
      }
      case Event::Kind::CancelRequested:
        fetching_.request_stop();  // what `finally` needs, it gets itself
        break;
      default:
        break;
    }
  }
}

RunningTask LiveRun::running(TaskRunId id, int attempt) const {
  const size_t runs = state_.tasks[id.task].runs.size();
  return {plan_.tasks[id.task], id.run, attempt, runs,
          nesting_.prefix + task_run_label(plan_.tasks[id.task], id.run, runs)};
}

// But for pipelines inside this one when the run is left: they are left, too.
void LiveRun::stop_all() {
  for (auto& [id, stop] : stops_)
    if (!options_.leave.stop_requested() || plan_.tasks[id.task].kind != dag::PlannedTask::Kind::Pipeline)
      stop.request_stop();
}

void LiveRun::abandon() {
  stop_all();
  fetching_ = {};
  workers_.join();
  forget_secrets();
}

void LiveRun::forget_secrets() {
  try_remove_private_folder(places_.run);  // else close_lost_runs() or `kiln runs delete` will
}

}  // namespace kiln::executor
