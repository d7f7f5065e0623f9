#include "executor/task_job.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/open_folder.h"
#include "executor/step_log.h"

namespace kiln::executor {
namespace {

StepRecord record_of(steps::StepOutcome step) {
  return {step.name,     step.exit_code,          std::string(steps::to_string(step.reason)),
          step.message,  step.image_digest,       step.started,
          step.finished, std::move(step.results), std::move(step.artifacts)};
}

// A Task that says it has succeeded must have left what it declares. (One that failed keeps the reason why.)
void check_results(const dag::PlannedTask& task, steps::PodOutcome& pod) {
  const std::vector<dag::ResultSpec>* declared = task.declared_results();
  if (!pod.succeeded || declared == nullptr) return;
  std::string problem = dag::results_problem(*declared, pod.results);
  if (problem.empty()) return;
  pod.succeeded = false;
  pod.reason = "TaskRunValidationFailed";
  pod.message = std::move(problem);
}

Outcome outcome_of(steps::PodOutcome pod) {
  Outcome out{pod.succeeded,
              pod.infrastructure,
              std::move(pod.reason),
              std::move(pod.message),
              {},
              std::move(pod.results),
              {},
              std::move(pod.artifacts)};
  if (out.reason.empty()) out.reason = out.succeeded ? "Succeeded" : "Failed";
  for (steps::StepOutcome& step : pod.steps) {
    const bool never_began = step.reason == steps::StepReason::NotStarted;
    out.steps.push_back(record_of(std::move(step)));
    if (never_began) out.steps.back().reason = out.reason;  // as Tekton ends the steps of such a pod
  }
  for (steps::StepOutcome& sidecar : pod.sidecars) out.sidecars.push_back(record_of(std::move(sidecar)));
  return out;
}

// Steps run as many users; the run's own folder is private.
void make_for_all(int above, const fs::path& name) {
  if (::mkdirat(above, name.c_str(), 0777) != 0) {
    if (errno != EEXIST) throw_errno("cannot make folder " + name.string());
  } else if (::fchmodat(above, name.c_str(), 0777, 0) != 0) {
    throw_errno("cannot open folder " + name.string() + " for all");
  }
}

// A step may have put a link where the next one's subPath is, or puts it there right now.
void make_folder(const PodRequest::Folder& folder) {
  if (!folder.of_user) {
    make_dirs(folder.inside.parent_path());
    make_for_all(AT_FDCWD, folder.inside);
  }
  fs::path at;
  for (const fs::path& part : folder.path.lexically_relative(folder.inside)) {
    if (part == ".") continue;
    make_for_all(open_beneath(folder.inside, at, O_PATH | O_DIRECTORY).get(), part);
    at /= part;
  }
  open_beneath(folder.inside, at,
               O_PATH | O_DIRECTORY);  // throws where a file or a link out stands in for it
}

// A link may lead anywhere: what counts is where the folder really is.
void check_host_paths(const PodRequest& request) {
  for (const PodRequest::Folder& folder : request.host_paths) {
    std::error_code missing;
    const fs::path target = fs::canonical(folder.path, missing);
    if (missing)
      throw Error(ErrorKind::Invalid, "the hostPath " + folder.path.string() + " is not there",
                  "make it first");
    const fs::path inside = fs::canonical(folder.inside);
    if (!is_within(target, inside))
      throw Error(ErrorKind::Invalid, "the hostPath " + folder.path.string() + " leads to " +
                                          target.string() + ", which was not allowed");
  }
}

}  // namespace

Outcome outcome_of(const Error& error) {
  Outcome out;
  out.reason = error.kind() == ErrorKind::Invalid ? "TaskRunValidationFailed" : "Failed";
  out.infrastructure = is_infrastructure(error.kind());
  out.message = error.full_with_hint();
  return out;
}

void prepare_pod(const PodRequest& request) {
  make_dirs(request.spec.folder, 0755);
  failpoint("workspace.make");
  for (const PodRequest::Folder& folder : request.folders) make_folder(folder);
  check_host_paths(request);
  for (const VolumeContent& volume : request.contents) write_volume(volume, request.group);
}

Outcome run_pod(const PodWork& work, const PodRequest& request, const RunningTask& task,
                std::stop_source& stop) {
  const steps::PodSpec& pod = request.spec;
  const OnExit clean([&] {  // what is left is for `kiln runs delete`
    try_remove_tree(request.private_folder);
    try_remove_tree(pod.folder);
  });
  prepare_pod(request);
  const std::string attempt = attempt_folder(task_run_label(task.task, task.run, task.runs), task.attempt);
  StepLog log(task, pod, work.places / "logs" / attempt, work.observer, work.observing, stop, work.secrets,
              work.clock);
  const auto say = [&](const std::string& line) {
    if (!pod.steps.empty()) log.step_output(0, true, "kiln: " + line + "\n");
  };
  for (const std::string& note : request.notes) say("note: " + note);
  const auto run = [&] {
    failpoint("pod.begin");
    steps::PodOutcome outcome = work.pods.run(pod, log, stop.get_token());
    failpoint("pod.end");
    request.flow.finish(outcome);
    if (log.problem()) return outcome_of(*log.problem());
    check_results(task.task, outcome);
    return outcome_of(std::move(outcome));
  };
  if (request.cached_as.empty()) return run();
  return run_cached(work.cache, work.pods, request, work.run, work.places / "cache" / attempt, say, run,
                    stop.get_token());
}

}  // namespace kiln::executor
