// What LiveRun has its workers do: pods, custom tasks, pipelines inside the pipeline.
#include "base/error.h"
#include "base/fs.h"
#include "dag/compile.h"
#include "dag/substitution.h"
#include "executor/image_requests.h"
#include "executor/live_run.h"
#include "executor/task_job.h"

namespace kiln::executor {
namespace {

// Results of a pipeline inside a pipeline, as a task hands them on: the bytes of a result file.
std::map<std::string, std::string> results_of(const dag::Plan& plan, const RunEnd& end) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] :
       dag::resolve_results(plan, StateFacts(plan, end.state), {end.run.id, end.run.uid, "default"}))
    out[name] = dag::to_text(value);
  return out;
}

}  // namespace

fs::path LiveRun::approval_file(TaskRunId id, int attempt) const {
  std::string name = task_run_label(plan_.tasks[id.task], id.run, state_.tasks[id.task].runs.size());
  if (attempt > 0) name += "-retry" + std::to_string(attempt);
  return places_.run / "approvals" / name;
}

LiveRun::Job LiveRun::job_for(const Event& event) {
  const dag::PlannedTask& task = plan_.tasks[event.task];
  const TaskRunId id{event.task, event.run};
  const StateFacts facts(plan_, state_);
  const dag::RunContext context{run_.id, run_.uid, "default"};
  dag::TaskRunIndex which = index_of(state_, id);
  which.attempt = event.attempt;
  Job job{id, which, running(id, event.attempt), {}, {}};
  switch (task.kind) {
    case dag::PlannedTask::Kind::Task: {
      dag::ResolvedTask resolved = dag::resolve_task(plan_, event.task, facts, context, which);
      if (!resolved.problem.reason.empty()) {
        job.what = std::move(resolved.problem);
        break;
      }
      PodRequest request = make_pod(plan_, event.task, resolved, run_.id, which, places_);
      request.spec.kill = options_.kill;
      job.what = std::move(request);
      break;
    }
    case dag::PlannedTask::Kind::Pipeline:
      job.what = dag::nested_request(plan_, event.task, facts, context, which);
      break;
    case dag::PlannedTask::Kind::Custom:
      job.what =
          CustomRequest{*task.custom, dag::resolve_task(plan_, event.task, facts, context, which).params,
                        approval_file(id, event.attempt), state_.tasks[event.task].run(event.run).started};
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
    workers_.add(std::move(job));
  } catch (const Error& error) {
    Event failed{.kind = Event::Kind::TaskFinished, .task = id.task, .run = id.run, .attempt = event.attempt};
    failed.outcome = outcome_of(error);
    failed.outcome.message = secrets_.masked(failed.outcome.message);
    post(std::move(failed));
  }
}

std::optional<Event> LiveRun::run_job(Job& job) {
  Event event{
      .kind = Event::Kind::TaskFinished, .task = job.id.task, .run = job.id.run, .attempt = job.task.attempt};
  try {
    if (const auto* pod = std::get_if<PodRequest>(&job.what)) {
      const PodWork work{services_.pods, services_.clock, observer_, observing_,
                         secrets_,       cache_,          run_.id,   places_.run};
      const Slots::Held slot = slots_.take(job.stop.get_token());  // none: the pod ends as it begins
      event.outcome = run_pod(work, *pod, job.task, job.stop);
    } else if (const auto* problem = std::get_if<dag::ParamProblem>(&job.what)) {
      event.outcome.reason = problem->reason;
      event.outcome.message = problem->message;
    } else if (const auto* request = std::get_if<dag::RunRequest>(&job.what)) {
      std::optional<Outcome> outcome = run_pipeline(*request, job);
      if (!outcome) return std::nullopt;
      event.outcome = std::move(*outcome);
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

// Beside the first tasks; ends with the run. A lone task asks for its images at once.
void LiveRun::fetch_images() {
  if (plan_.tasks.size() < 2) return;
  fetching_ = std::jthread([this](std::stop_token stop) {
    try {
      services_.pods.prefetch(
          wanted_images(plan_, {run_.id, run_.uid, "default"}, places_.images_since, stop), stop);
    } catch (const std::exception&) {  // the pods will say what is wrong
    }
  });
}

// A pipeline inside the pipeline is a run of its own, under this one's name. Nothing when it is left for the
// next kiln to carry on, as this one is.
std::optional<Outcome> LiveRun::run_pipeline(const dag::RunRequest& request, const Job& job) {
  dag::Compiled compiled = dag::recompile(plan_.sources, plan_.remote, request);
  if (!compiled.plan) {
    std::string problem = "it makes no plan";
    for (const Diagnostic& diagnostic : compiled.diagnostics)
      if (diagnostic.severity == Severity::Error) {
        problem = diagnostic.message;
        break;
      }
    throw Error(ErrorKind::Invalid, "pipeline of task " + job.task.label + ": " + problem);
  }
  compiled.plan->status.clear();  // was asked of the outermost run
  compiled.plan->timeout = job.task.task.timeout;
  RunOptions options = options_;
  options.reuse.clear();
  options.workspaces.clear();
  LiveRun inner(services_, *compiled.plan, nested_run(*compiled.plan, job), observer_, options,
                {job.task.label + "/", places_.workspaces, &observing_, &slots_, places_.images_since});
  const RunEnd end = inner.run({}, job.stop.get_token());
  if (!end.state.has_finished) return std::nullopt;
  Outcome out;
  out.succeeded = end.state.succeeded();
  out.infrastructure = end.exit_code() == kiln::exit_code(ErrorKind::Infrastructure);
  out.reason = end.state.reason;
  out.message = end.state.message;
  out.results = results_of(*compiled.plan, end);
  return out;
}

// The run of this attempt: the one that a kiln before this one began, or a new one.
RunRecord LiveRun::nested_run(const dag::Plan& plan, const Job& job) {
  std::string name = attempt_name(plan_, job.id.task, run_.id, job.which);
  for (RunRecord& begun : services_.journal.children(run_.id))
    if (begun.id == name) return std::move(begun);
  return services_.journal.create(plan, services_.clock.now(),
                                  {.id = std::move(name), .parent = run_.id, .owner = run_.owner});
}

}  // namespace kiln::executor
