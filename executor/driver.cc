#include "executor/driver.h"

#include <condition_variable>
#include <deque>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "executor/pod_spec.h"
#include "executor/scheduler.h"

namespace kiln::executor {
namespace {

// However far the next deadline is: a clock that was set back must not make us sleep for years.
constexpr Duration kLongestWait = std::chrono::minutes(1);

StepRecord record_of(const steps::StepOutcome& step) {
  return {step.name,    step.exit_code,    std::string(steps::to_string(step.reason)),
          step.message, step.image_digest, step.started,
          step.finished};
}

Outcome outcome_of(steps::PodOutcome pod) {
  Outcome out{pod.succeeded,         pod.infrastructure, std::move(pod.reason), std::move(pod.message), {},
              std::move(pod.results)};
  if (out.reason.empty()) out.reason = out.succeeded ? "Succeeded" : "Failed";
  for (const steps::StepOutcome& step : pod.steps) out.steps.push_back(record_of(step));
  return out;
}

// Writes one pod's output to its log files and hands it on.
class LogWriter final : public steps::PodObserver {
 public:
  LogWriter(const dag::PlannedTask& task, const steps::PodSpec& pod, const fs::path& folder,
            RunObserver& observer, std::mutex& observing, std::stop_source& stop)
      : task_(task), pod_(pod), observer_(observer), observing_(observing), stop_(stop) {
    make_dirs(folder);
    for (const steps::StepSpec& step : pod.steps)
      files_.push_back(
          open_file(folder / (step.name + ".log"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600));
  }

  void step_started(size_t, const steps::StepSpec& spec) override {
    const std::lock_guard lock(observing_);
    observer_.step_started(task_, spec);
  }
  void step_output(size_t step, bool is_stderr, std::string_view bytes) override {
    write(step, bytes);
    const std::lock_guard lock(observing_);
    observer_.step_output(task_, pod_.steps.at(step), is_stderr, bytes);
  }
  void step_finished(size_t, const steps::StepOutcome& outcome) override {
    const std::lock_guard lock(observing_);
    observer_.step_finished(task_, outcome);
  }

  const std::optional<Error>& problem() const { return problem_; }

 private:
  // A log that cannot be written (disk full) ends the pod: output must not be lost without a word.
  void write(size_t step, std::string_view bytes) {
    if (problem_) return;
    try {
      write_all(files_.at(step).get(), bytes, "log of task " + task_.name);
    } catch (const Error& e) {
      problem_ = e;
      stop_.request_stop();
    }
  }

  const dag::PlannedTask& task_;
  const steps::PodSpec& pod_;
  RunObserver& observer_;
  std::mutex& observing_;
  std::stop_source& stop_;
  std::vector<UniqueFd> files_;
  std::optional<Error> problem_;
};

void make_folders(const PodRequest& request) {
  for (const PodRequest::Folder& folder : request.folders) {
    make_dirs(folder.inside);
    ::chmod(folder.inside.c_str(), 0777);  // steps run as many users; the run's own folder is private
    // A step may have put a link where the next one's subPath is: the host must not follow it outside.
    const fs::path inside = fs::canonical(folder.inside);
    const fs::path target = fs::weakly_canonical(folder.path);
    const auto [end, rest] = std::mismatch(inside.begin(), inside.end(), target.begin(), target.end());
    if (end != inside.end())
      throw Error(ErrorKind::Invalid, "subPath " + folder.path.lexically_relative(folder.inside).string() +
                                          " leads out of its workspace");
    if (target != inside) {
      make_dirs(target);
      ::chmod(target.c_str(), 0777);
    }
  }
}

// One run from start to end. The calling thread decides; workers run pods and put what came of it into the
// inbox.
class LiveRun {
 public:
  LiveRun(Journal& journal, PodRunner& pods, const Dirs& dirs, const Clock& clock, const dag::Plan& plan,
          RunObserver& observer, const RunOptions& options)
      : journal_(journal),
        pods_(pods),
        dirs_(dirs),
        clock_(clock),
        plan_(plan),
        observer_(observer),
        run_(journal.create(plan, clock.now())),
        places_{dirs.runs() / run_.id, dirs.state / "claims", options.allow_host_image, options.network},
        jobs_(options.jobs > 0 ? options.jobs : std::max(2u, std::thread::hardware_concurrency())),
        scheduler_(plan, {jobs_, {run_.id, run_.uid, "default"}}) {
    make_dirs(places_.run, 0700);
    lock_ = open_file(places_.run / "lock", O_RDWR | O_CREAT, 0600);
    if (::flock(lock_.get(), LOCK_EX) != 0) throw_errno("lock " + (places_.run / "lock").string());
  }

  RunEnd run(std::stop_token stop, std::stop_token kill) {
    {
      const std::lock_guard lock(observing_);
      observer_.run_started(run_, plan_);
    }
    const std::stop_callback on_stop(stop, [this] { post_cancel("CancelledRunFinally"); });
    const std::stop_callback on_kill(kill, [this] { post_cancel("Cancelled"); });
    try {
      const Time now = clock_.now();
      act(scheduler_.advance(state_, {.kind = Event::Kind::RunStarted, .at = now}, now));
      while (!state_.has_finished) {
        std::optional<Event> event = next_event();
        const Time at = clock_.now();
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
    run_.finished = state_.finished;
    run_.reason = state_.reason;
    run_.message = state_.message;
    const std::lock_guard lock(observing_);
    observer_.run_finished(run_, state_);
    return {run_, std::move(state_)};
  }

 private:
  struct Job {
    size_t task;
    int attempt;
    PodRequest request;
    std::stop_source stop;
  };

  void post(Event event) {
    {
      const std::lock_guard lock(mutex_);
      inbox_.push_back(std::move(event));
    }
    changed_.notify_all();
  }
  void post_cancel(std::string reason) {
    post({.kind = Event::Kind::CancelRequested, .reason = std::move(reason)});
  }

  std::optional<Event> next_event() {
    const std::optional<Time> deadline = scheduler_.next_deadline(state_);
    std::unique_lock lock(mutex_);
    const auto arrived = [this] { return !inbox_.empty(); };
    if (deadline) {
      const Duration wait = std::clamp<Duration>(*deadline - clock_.now(), Duration{}, kLongestWait);
      if (!changed_.wait_for(lock, wait, arrived)) return std::nullopt;
    } else {
      changed_.wait(lock, arrived);
    }
    Event event = std::move(inbox_.front());
    inbox_.pop_front();
    return event;
  }

  void act(const std::vector<Event>& events) {
    journal_.append(run_.id, plan_, events);
    for (const Event& event : events) {
      switch (event.kind) {
        case Event::Kind::TaskStarted:
          start(event);
          break;
        case Event::Kind::TaskStopped:
          if (const auto running = stops_.find(event.task); running != stops_.end())
            running->second.request_stop();
          break;
        case Event::Kind::TaskFinished: {
          stops_.erase(event.task);
          const std::lock_guard lock(observing_);
          observer_.task_finished(plan_.tasks[event.task], state_.tasks[event.task]);
          break;
        }
        case Event::Kind::TaskSkipped: {
          const std::lock_guard lock(observing_);
          observer_.task_skipped(plan_.tasks[event.task], event.reason);
          break;
        }
        default:
          break;
      }
    }
  }

  void start(const Event& event) {
    {
      const std::lock_guard lock(observing_);
      observer_.task_started(plan_.tasks[event.task], event.attempt);
    }
    Job job{event.task, event.attempt, {}, {}};
    try {
      const StateFacts facts(plan_, state_);
      const dag::RunContext context{run_.id, run_.uid, "default"};
      const dag::ResolvedTask resolved = dag::resolve_task(plan_, event.task, facts, context, {.attempt = event.attempt});
      job.request = make_pod(plan_, event.task, resolved, run_.id, event.attempt, places_);
    } catch (const Error& e) {
      return post(failed(event.task, event.attempt, e));
    }
    stops_.insert_or_assign(event.task, job.stop);
    const std::lock_guard lock(mutex_);
    jobs_waiting_.push_back(std::move(job));
    if (idle_ < jobs_waiting_.size() && workers_.size() < jobs_)
      workers_.emplace_back([this](std::stop_token token) { work(token); });
    changed_.notify_all();
  }

  static Event failed(size_t task, int attempt, const Error& error) {
    Event event{.kind = Event::Kind::TaskFinished, .task = task, .attempt = attempt};
    event.outcome.reason = error.kind() == ErrorKind::Invalid ? "TaskRunValidationFailed" : "Failed";
    event.outcome.infrastructure =
        error.kind() == ErrorKind::Infrastructure || error.kind() == ErrorKind::Unavailable;
    event.outcome.message = error.full() + (error.hint().empty() ? "" : " (" + error.hint() + ")");
    return event;
  }

  void work(std::stop_token token) {
    for (;;) {
      std::unique_lock lock(mutex_);
      ++idle_;
      const bool work = changed_.wait(lock, token, [this] { return !jobs_waiting_.empty(); });
      --idle_;
      if (!work) return;
      Job job = std::move(jobs_waiting_.front());
      jobs_waiting_.pop_front();
      lock.unlock();
      post(run_pod(job));
    }
  }

  Event run_pod(Job& job) {
    const dag::PlannedTask& task = plan_.tasks[job.task];
    const steps::PodSpec& pod = job.request.spec;
    try {
      const OnExit clean([&] {
        try {
          remove_tree(pod.folder);
        } catch (const Error&) {  // left behind for `kiln runs delete`
        }
      });
      make_dirs(pod.folder, 0755);
      make_folders(job.request);
      LogWriter log(task, pod, log_file(dirs_, run_.id, task.name, job.attempt, "").parent_path(), observer_,
                    observing_, job.stop);
      steps::PodOutcome outcome = pods_.run(pod, log, job.stop.get_token());
      if (log.problem()) return failed(job.task, job.attempt, *log.problem());
      Event event{.kind = Event::Kind::TaskFinished, .task = job.task, .attempt = job.attempt};
      event.outcome = outcome_of(std::move(outcome));
      return event;
    } catch (const Error& e) {
      return failed(job.task, job.attempt, e);
    } catch (const std::exception& e) {
      return failed(job.task, job.attempt, Error(ErrorKind::Infrastructure, e.what()));
    }
  }

  void abandon() {
    for (auto& [task, stop] : stops_) stop.request_stop();
    workers_.clear();
  }

  Journal& journal_;
  PodRunner& pods_;
  const Dirs& dirs_;
  const Clock& clock_;
  const dag::Plan& plan_;
  RunObserver& observer_;
  RunRecord run_;
  PodPlaces places_;
  size_t jobs_;
  Scheduler scheduler_;
  State state_;
  UniqueFd lock_;
  std::map<size_t, std::stop_source> stops_;  // of running pods; the deciding thread's alone

  std::mutex observing_;  // one call of the observer at a time
  std::mutex mutex_;      // guards what follows
  std::condition_variable_any changed_;
  std::deque<Event> inbox_;
  std::deque<Job> jobs_waiting_;
  size_t idle_ = 0;
  std::vector<std::jthread> workers_;  // last: joined before what they use goes
};

}  // namespace

std::filesystem::path log_file(const Dirs& dirs, std::string_view run, std::string_view task, int attempt,
                               std::string_view step) {
  return dirs.runs() / run / "logs" / (std::string(task) + "." + std::to_string(attempt)) /
         (std::string(step) + ".log");
}

int RunEnd::exit_code() const {
  if (state.succeeded()) return 0;
  if (state.cancel != Cancel::No || state.reason == "Cancelled") return kiln::exit_code(ErrorKind::Cancelled);
  if (state.pipeline_timed_out || state.tasks_timed_out || state.finally_timed_out)
    return kiln::exit_code(ErrorKind::TimedOut);
  for (const TaskState& task : state.tasks)
    if (task.phase == Phase::Failed && !task.ignored) {
      if (task.infrastructure) return kiln::exit_code(ErrorKind::Infrastructure);
      if (task.reason == "TaskRunTimeout") return kiln::exit_code(ErrorKind::TimedOut);
    }
  return kiln::exit_code(ErrorKind::Failed);
}

RunEnd Driver::run(const dag::Plan& plan, RunObserver& observer, const RunOptions& options) {
  return LiveRun(journal_, pods_, dirs_, clock_, plan, observer, options).run(options.stop, options.kill);
}

}  // namespace kiln::executor
