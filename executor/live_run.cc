#include "executor/live_run.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/error.h"
#include "dag/compile.h"
#include "dag/substitution.h"
#include "executor/control.h"
#include "executor/private_folder.h"
#include "executor/secrets.h"
#include "executor/task_job.h"

namespace kiln::executor {
namespace {

// However far the next deadline is: a clock that was set back must not make us sleep for years.
constexpr Duration kLongestWait = std::chrono::minutes(1);

// Results of a pipeline inside a pipeline, as a task hands them on: the bytes of a result file.
std::map<std::string, std::string> results_of(const dag::Plan& plan, const RunEnd& end) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] :
       dag::resolve_results(plan, StateFacts(plan, end.state), {end.run.id, end.run.uid, "default"}))
    out[name] = dag::to_text(value);
  return out;
}

void describe_machine(PodPlaces& places) {
  utsname name{};
  if (::uname(&name) == 0) places.node = name.nodename;
  places.cpus = std::max(1u, std::thread::hardware_concurrency());
  places.memory =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

// Absolute, without a slash at its end: to compare by parts.
fs::path normal_folder(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() || normal == normal.root_path() ? normal : normal.parent_path();
}

}  // namespace

LiveRun::LiveRun(const RunServices& services, const dag::Plan& plan, RunObserver& observer,
                 const RunOptions& options, Nesting nesting)
    : services_(services),
      plan_(plan),
      observer_(observer),
      options_(options),
      nesting_(std::move(nesting)),
      run_(services.journal.create(plan, services.clock.now(), nesting_.child)),
      places_{services.dirs.runs() / run_.id, nesting_.workspaces, services.dirs.state / "claims",
              options.allow_host_image, options.network},
      secrets_(secrets_of(plan)),
      jobs_(options.jobs > 0 ? options.jobs : std::max(2u, std::thread::hardware_concurrency())),
      scheduler_(plan, {jobs_, {run_.id, run_.uid, "default"}, options.reuse}),
      observing_(nesting_.observing != nullptr ? *nesting_.observing : own_observing_) {
  make_dirs(places_.run, 0700);
  if (places_.workspaces.empty()) places_.workspaces = places_.run / "workspaces";
  if (!options.workspaces.empty() && fs::exists(options.workspaces))
    fs::create_directory_symlink(fs::canonical(options.workspaces), places_.workspaces);
  lock_ = open_file(places_.run / "lock", O_RDWR | O_CREAT, 0600);
  if (::flock(lock_.get(), LOCK_EX) != 0) throw_errno("lock " + (places_.run / "lock").string());
  places_.secrets = private_folder(services.dirs, places_.run, run_.uid);
  describe_machine(places_);
  places_.allow_privileged = options.allow_privileged;
  for (const fs::path& path : options.host_paths) places_.host_paths.push_back(normal_folder(path));
}

RunEnd LiveRun::run(std::stop_token stop, std::stop_token kill) {
  {
    const std::lock_guard lock(observing_);
    if (nesting_.prefix.empty()) observer_.run_started(run_, plan_);
  }
  const std::stop_callback on_stop(stop, [this] { post_cancel("CancelledRunFinally"); });
  const std::stop_callback on_kill(kill, [this] { post_cancel("Cancelled"); });
  std::optional<ControlListener> control;
  if (nesting_.prefix.empty())
    control.emplace(places_.run, [this](std::string mode) { post_cancel(std::move(mode)); });
  try {
    const Time now = services_.clock.now();
    act(scheduler_.advance(state_, {.kind = Event::Kind::RunStarted, .at = now}, now));
    while (!state_.has_finished) {
      std::optional<Event> event = next_event();
      const Time at = services_.clock.now();
      if (event) event->at = at;
      act(event ? scheduler_.advance(state_, std::move(*event), at) : scheduler_.tick(state_, at));
    }
  } catch (...) {  // the journal cannot be written: end what runs, say so
    abandon();
    throw;
  }
  workers_.clear();  // joins; nobody is busy any more
  std::error_code ignored;
  fs::remove(places_.run / "pods", ignored);  // empty by now
  forget_secrets();
  run_.finished = state_.finished;
  run_.reason = state_.reason;
  run_.message = state_.message;
  const std::lock_guard lock(observing_);
  if (nesting_.prefix.empty()) observer_.run_finished(run_, state_);
  return {run_, std::move(state_)};
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
  const auto arrived = [this] { return !inbox_.empty(); };
  if (deadline) {
    const Duration wait = std::clamp<Duration>(*deadline - services_.clock.now(), Duration{}, kLongestWait);
    if (!changed_.wait_for(lock, wait, arrived)) return std::nullopt;
  } else {
    changed_.wait(lock, arrived);
  }
  Event event = std::move(inbox_.front());
  inbox_.pop_front();
  return event;
}

void LiveRun::act(const std::vector<Event>& events) {
  services_.journal.append(run_.id, plan_, events);
  for (const Event& event : events) {
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
        const std::lock_guard lock(observing_);
        observer_.task_finished(running(id, event.attempt), state_.tasks[id.task].run(id.run));
        break;
      }
      case Event::Kind::TaskSkipped: {
        const std::lock_guard lock(observing_);
        observer_.task_skipped(running(id, event.attempt), event.reason);
        break;
      }
      default:
        break;
    }
  }
}

RunningTask LiveRun::running(TaskRunId id, int attempt) const {
  return {plan_.tasks[id.task], id.run, attempt,
          nesting_.prefix + task_run_label(plan_.tasks[id.task], id.run)};
}

LiveRun::Job LiveRun::job_for(const Event& event) {
  const dag::PlannedTask& task = plan_.tasks[event.task];
  const TaskRunId id{event.task, event.run};
  const StateFacts facts(plan_, state_);
  const dag::RunContext context{run_.id, run_.uid, "default"};
  dag::TaskRunIndex which{.attempt = event.attempt};
  if (task.matrix) which.in_matrix = event.run;
  Job job{id, running(id, event.attempt), {}, {}};
  switch (task.kind) {
    case dag::PlannedTask::Kind::Task: {
      const dag::ResolvedTask resolved = dag::resolve_task(plan_, event.task, facts, context, which);
      job.what = make_pod(plan_, event.task, resolved, run_.id, which, places_);
      break;
    }
    case dag::PlannedTask::Kind::Pipeline:
      job.what = dag::nested_request(plan_, event.task, facts, context, which);
      break;
    case dag::PlannedTask::Kind::Custom:
      job.what =
          CustomRequest{*task.custom, dag::resolve_task(plan_, event.task, facts, context, which).params,
                        places_.run / "approvals" / task_run_label(task, event.run)};
      break;
  }
  return job;
}

void LiveRun::start(const Event& event) {
  const TaskRunId id{event.task, event.run};
  {
    const std::lock_guard lock(observing_);
    observer_.task_started(running(id, event.attempt));
  }
  try {
    Job job = job_for(event);
    stops_.insert_or_assign(id, job.stop);
    const std::lock_guard lock(mutex_);
    jobs_waiting_.push_back(std::move(job));
    if (idle_ < jobs_waiting_.size() && workers_.size() < jobs_)
      workers_.emplace_back([this](std::stop_token token) { work(token); });
  } catch (const Error& error) {
    Event failed{.kind = Event::Kind::TaskFinished, .task = id.task, .run = id.run, .attempt = event.attempt};
    failed.outcome = outcome_of(error);
    failed.outcome.message = secrets_.masked(failed.outcome.message);
    return post(std::move(failed));
  }
  changed_.notify_all();
}

void LiveRun::work(std::stop_token token) {
  for (;;) {
    std::unique_lock lock(mutex_);
    ++idle_;
    const bool work = changed_.wait(lock, token, [this] { return !jobs_waiting_.empty(); });
    --idle_;
    if (!work) return;
    Job job = std::move(jobs_waiting_.front());
    jobs_waiting_.pop_front();
    lock.unlock();
    post(run_job(job));
  }
}

Event LiveRun::run_job(Job& job) {
  Event event{
      .kind = Event::Kind::TaskFinished, .task = job.id.task, .run = job.id.run, .attempt = job.task.attempt};
  try {
    if (const auto* pod = std::get_if<PodRequest>(&job.what)) {
      const fs::path logs =
          places_.run / "logs" /
          (task_run_label(job.task.task, job.id.run) + "." + std::to_string(job.task.attempt));
      event.outcome = run_pod(services_.pods, *pod, logs, job.task, observer_, observing_, job.stop, secrets_,
                              services_.clock);
    } else if (const auto* request = std::get_if<dag::RunRequest>(&job.what)) {
      event.outcome = run_pipeline(*request, job);
    } else {
      event.outcome =
          run_custom_task(std::get<CustomRequest>(job.what), services_.clock, job.stop.get_token());
    }
  } catch (const Error& error) {
    event.outcome = outcome_of(error);
  } catch (const std::exception& error) {
    event.outcome = outcome_of(Error(ErrorKind::Infrastructure, error.what()));
  }
  event.outcome.message = secrets_.masked(event.outcome.message);
  for (StepRecord& step : event.outcome.steps) step.message = secrets_.masked(step.message);
  return event;
}

// A pipeline inside the pipeline is a run of its own, under this one's name.
Outcome LiveRun::run_pipeline(const dag::RunRequest& request, const Job& job) {
  const dag::Compiled compiled = dag::recompile(plan_.sources, plan_.remote, request);
  if (!compiled.plan) {
    std::string problem = "it makes no plan";
    for (const Diagnostic& diagnostic : compiled.diagnostics)
      if (diagnostic.severity == Severity::Error) {
        problem = diagnostic.message;
        break;
      }
    throw Error(ErrorKind::Invalid, "pipeline of task " + job.task.label + ": " + problem);
  }
  const std::optional<size_t> in_matrix =
      job.task.task.matrix ? std::optional<size_t>(job.id.run) : std::nullopt;
  std::string name = dag::child_name(plan_, job.id.task, run_.id, in_matrix);
  if (job.task.attempt > 0) name += "-retry" + std::to_string(job.task.attempt);
  RunOptions options = options_;
  options.reuse.clear();
  options.workspaces.clear();
  LiveRun inner(services_, *compiled.plan, observer_, options,
                {{std::move(name), run_.id}, job.task.label + "/", places_.workspaces, &observing_});
  const RunEnd end = inner.run({}, job.stop.get_token());
  Outcome out;
  out.succeeded = end.state.succeeded();
  out.infrastructure = end.exit_code() == kiln::exit_code(ErrorKind::Infrastructure);
  out.reason = end.state.reason;
  out.message = end.state.message;
  out.results = results_of(*compiled.plan, end);
  return out;
}

void LiveRun::abandon() {
  for (auto& [task, stop] : stops_) stop.request_stop();
  workers_.clear();
  forget_secrets();
}

void LiveRun::forget_secrets() {
  try {
    remove_private_folder(places_.run);
  } catch (const Error&) {  // close_lost_runs() or `kiln runs delete` will
  }
}

}  // namespace kiln::executor
