#include "steps/pod_run.h"

#include <algorithm>
#include <csignal>
#include <string.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "steps/network_namespace.h"
#include "steps/pod_images.h"
#include "steps/sidecar_breakdown.h"
#include "steps/step_command.h"
#include "steps/stream_files.h"

namespace kiln::steps {
std::string_view to_string(StepReason reason) {
  switch (reason) {
    case StepReason::Completed:
      return "Completed";
    case StepReason::Error:
      return "Error";
    case StepReason::Continued:
      return "Continued";
    case StepReason::Skipped:
      return "Skipped";
    case StepReason::Cancelled:
      return "Cancelled";
    case StepReason::TimeoutExceeded:
      return "TimeoutExceeded";
    case StepReason::OutOfMemory:
      return "OOMKilled";
    case StepReason::NotStarted:
      return "NotStarted";
  }
  return "Error";
}

PodRun::PodRun(SandboxRuntime& runtime, const ImageSource& images, const LocalPods::Options& options,
               const PodSpec& spec, PodObserver& observer, std::stop_token stop, Duration timeout)
    : runtime_(runtime),
      images_(images),
      options_(options),
      spec_(spec),
      observer_(observer),
      stop_(std::move(stop)),
      timeout_(timeout),
      folder_(spec),
      world_(spec_, options_, folder_) {
  if (timeout.count() > 0) deadline_ = std::chrono::steady_clock::now() + timeout;
}

void PodRun::fail(std::string reason, std::string message, bool infrastructure) {
  if (failed_) return;
  failed_ = true;
  outcome_.reason = std::move(reason);
  outcome_.message = std::move(message);
  outcome_.infrastructure = infrastructure;
}

void PodRun::output(size_t index, bool is_stderr, std::string_view bytes) {
  const std::lock_guard lock(observing_);
  observer_.step_output(index, is_stderr, bytes);
}

Duration PodRun::time_left() const {
  if (!deadline_) return {};
  return std::max<Duration>(*deadline_ - std::chrono::steady_clock::now(), Duration(1));
}

// Why a step may not run at all; "" when it may.
std::string PodRun::image_problem(const StepSpec& step) const {
  if (step.image == kKilnImage) return kiln_step_problem(step, options_.kiln_verbs);
  if (step.image == kHostImage && !spec_.allow_host_image)
    return "step " + step.name +
           " wants `image: host`, this machine's own root; allow that with --allow-host";
  return {};
}

// All images before the first step, as a cluster does: a wrong name costs nothing but its message.
void PodRun::resolve_images() {
  const std::vector<const StepSpec*> all = containers_of(spec_);
  for (const StepSpec* step : all)
    if (const std::string problem = image_problem(*step); !problem.empty())
      return fail("TaskRunValidationFailed", problem);
  const std::optional<ImageProblem> problem = get_images(all, images_, stop_, images_of_);
  if (!problem) return;
  const auto& [step, error] = *problem;
  if (error.kind() == ErrorKind::Cancelled)
    return fail("TaskRunCancelled", "cancelled while getting " + step->image);
  const bool sidecar = std::ranges::find(all, step) - all.begin() >= std::ssize(spec_.steps);
  fail("TaskRunImagePullFailed",
       "the image \"" + step->image + "\" of " + (sidecar ? "sidecar " : "step ") + step->name +
           " cannot be had: " + error.full_with_hint(),
       is_infrastructure(error.kind()));
}

void PodRun::prepare_network() {
  try {
    network_.emplace(spec_.network, !spec_.sidecars.empty(), stop_);
    network_->join(world_);
  } catch (const Error& error) {
    fail("Failed", "the pod's network cannot be made: " + error.full_with_hint(), true);
  }
}

void PodRun::start_sidecars(Sidecars& sidecars) {
  try {
    for (size_t i = 0; i < spec_.sidecars.size(); ++i) {
      const SidecarSpec& sidecar = spec_.sidecars[i];
      const StepImage& image = images_of_[spec_.steps.size() + i];
      StepOutcome outcome;
      outcome.name = sidecar.name;
      outcome.image_digest = image.digest;
      outcome.started = system_clock().now();
      try {
        sidecars.start(sidecar, world_.of_sidecar(i, sidecar, image), std::move(outcome));
      } catch (const Error& error) {
        throw error.because("sidecar " + sidecar.name + " could not be started");
      }
    }
    if (const auto problem = sidecars.await_ready(stop_, deadline_))
      throw problem->error.because("sidecar " + spec_.sidecars[problem->sidecar].name +
                                   " could not be started");
    if (stop_.stop_requested())
      fail("TaskRunCancelled", "TaskRun " + spec_.name + " was cancelled while its sidecars started");
    else if (deadline_ && std::chrono::steady_clock::now() >= *deadline_)
      fail("TaskRunTimeout", "TaskRun " + spec_.name + " failed to finish within " +
                                 format_seconds(seconds(timeout_)) + ", while its sidecars started");
  } catch (const Error& error) {
    fail(is_infrastructure(error.kind()) ? "Failed" : "CreateContainerConfigError", error.full_with_hint(),
         is_infrastructure(error.kind()));
  }
}

// What the end of a step's process means: for the step, and for the pod.
void PodRun::conclude(size_t index, const RunResult& result, bool pod_time, StepOutcome& outcome) {
  const StepSpec& step = spec_.steps[index];
  const std::string name = "step " + step.name, container = "\"step-" + step.name + "\"";
  const ExitStatus& status = result.status;
  outcome.exit_code = status.code;
  if (result.cancelled) {
    outcome.reason = StepReason::Cancelled;
    outcome.message = "cancelled";
    fail("TaskRunCancelled", name + " was cancelled");
  } else if (result.timed_out) {
    outcome.reason = StepReason::TimeoutExceeded;
    const std::string limit = format_seconds(seconds(pod_time ? timeout_ : step.timeout));
    outcome.message =
        pod_time ? "the TaskRun's time of " + limit + " was over" : "exceeded its timeout of " + limit;
    if (pod_time)
      fail("TaskRunTimeout", "TaskRun " + spec_.name + " failed to finish within " + limit + ", in " + name);
    else
      fail("StepFailed", container + " exited because the step exceeded the specified timeout limit");
  } else if (!status.started) {
    outcome.reason = StepReason::Error;
    outcome.message = status.message;
    fail("StepFailed", name + " could not be started: " + status.message);
  } else if (status.out_of_memory) {
    outcome.reason = StepReason::OutOfMemory;
    outcome.message = "used more than its " + format_bytes(step.resources.memory_bytes) + " of memory";
    fail("StepOOM", container + " exited with code " + std::to_string(status.code) + ": OOMKilled (" +
                        outcome.message + ")");
  } else if (status.code != 0) {
    outcome.message = "exited with code " + std::to_string(status.code);
    if (status.code > 128 && status.code < 128 + 65) {
      const char* signal = sigabbrev_np(status.code - 128);
      if (signal) outcome.message += std::string(" (SIG") + signal + ")";
    }
    outcome.reason = step.continue_on_error ? StepReason::Continued : StepReason::Error;
    // Kiln's own verbs say with their exit code whose fault it was.
    const bool infrastructure =
        step.image == kKilnImage && status.code == exit_code(ErrorKind::Infrastructure);
    if (!step.continue_on_error)
      fail("StepFailed", container + " exited with code " + std::to_string(status.code) + ": Error",
           infrastructure);
  }
}

// What a step left for others. Too much of it is the step's failure.
void PodRun::read_outputs(size_t index, StepOutcome& outcome) {
  const StepSpec& step = spec_.steps[index];
  const auto too_large = [&](const std::string& what, uint64_t size) {
    outcome.reason = StepReason::Error;
    outcome.message = what + " is too large";
    fail("TaskRunResultLargerThanAllowedLimit", size_problem(what + " of step " + step.name, size));
  };
  for (const std::string& name : step.results)
    if (auto result = folder_.step_result(index, name, spec_.result_limit)) {
      if (result->size > spec_.result_limit) return too_large("the result \"" + name + "\"", result->size);
      outcome.results[name] = std::move(result->value);
    }
  if (auto artifacts = folder_.step_artifacts(index, spec_.result_limit)) {
    if (artifacts->size > spec_.result_limit) return too_large("the provenance.json", artifacts->size);
    outcome.artifacts = std::move(artifacts->value);
  }
}

std::string PodRun::size_problem(const std::string& what, uint64_t size) const {
  return what + " is " + format_bytes(size) + " (" + std::to_string(size) + " bytes); at most " +
         format_bytes(spec_.result_limit) + " are allowed: put it into a workspace instead";
}

void PodRun::run_process(size_t index, const StepSpec& step, StepOutcome& outcome, Stage& stage) {
  const SandboxSpec sandbox = world_.of_step(index, step, images_of_[index]);
  StreamFiles files(step, sandbox);
  const Duration left = time_left();
  const bool pod_time = left.count() > 0 && (step.timeout.count() <= 0 || left < step.timeout);
  const RunResult result = run_to_end(
      runtime_, sandbox,
      [&](bool is_stderr, std::string_view bytes) {
        stage = Stage::Running;
        files.write(is_stderr, bytes);
        output(index, is_stderr, bytes);
      },
      stop_, pod_time ? left : step.timeout, spec_.grace, spec_.kill);
  stage = Stage::Ended;
  if (index == 0 && !network_->no_way_out().empty())
    output(index, true,
           "kiln: warning: the private network has no way out: " + network_->no_way_out() + "\n");
  for (const std::string& warning : result.warnings) output(index, true, "kiln: warning: " + warning + "\n");
  conclude(index, result, pod_time, outcome);
}

// What this machine could not do for a step.
void PodRun::fail_step(const StepSpec& step, const Error& error, Stage stage, StepOutcome& outcome) {
  const bool infrastructure = is_infrastructure(error.kind());
  outcome.message = error.full_with_hint();
  outcome.reason = stage == Stage::Starting ? StepReason::NotStarted : StepReason::Error;
  if (stage != Stage::Ended) outcome.exit_code = 128 + (stage == Stage::Running ? SIGKILL : 0);
  const char* words = stage == Stage::Starting  ? " could not be started: "
                      : stage == Stage::Running ? " was ended: "
                                                : " has ended, but what it left cannot be kept: ";
  const bool of_document = stage == Stage::Starting && !infrastructure;
  fail(of_document ? "CreateContainerConfigError" : "Failed", "step " + step.name + words + outcome.message,
       infrastructure);
}

StepOutcome PodRun::run_step(size_t index) {
  const StepSpec& step = spec_.steps[index];
  StepOutcome outcome;
  outcome.name = step.name;
  outcome.image_digest = images_of_[index].digest;
  outcome.started = system_clock().now();
  {
    const std::lock_guard lock(observing_);
    observer_.step_started(index, step);
  }
  Stage stage = Stage::Starting;
  try {
    if (spec_.guide) {
      StepSpec guided = step;
      const StepTurn turn = spec_.guide(index, guided, outcome_.steps);
      for (const std::string& note : turn.notes) output(index, true, "kiln: note: " + note + "\n");
      if (turn.run)
        run_process(index, guided, outcome, stage);
      else
        outcome.reason = StepReason::Skipped;
    } else {
      run_process(index, step, outcome, stage);
    }
    folder_.write_exit_code(index, outcome.exit_code);
    read_outputs(index, outcome);
  } catch (const Error& error) {
    fail_step(step, error, stage, outcome);
  }
  outcome.finished = system_clock().now();
  return outcome;
}

void PodRun::read_results() {
  failpoint("results.read");
  for (const std::string& name : spec_.results) {
    auto result = folder_.result(name, spec_.result_limit);
    if (!result) continue;
    if (result->size <= spec_.result_limit)
      outcome_.results[name] = std::move(result->value);
    else
      fail("TaskRunResultLargerThanAllowedLimit", size_problem("the result \"" + name + "\"", result->size));
  }
  if (auto artifacts = folder_.artifacts(spec_.result_limit)) {
    if (artifacts->size > spec_.result_limit)
      fail("TaskRunResultLargerThanAllowedLimit", size_problem("the provenance.json", artifacts->size));
    outcome_.artifacts = std::move(artifacts->value);
  }
}

void PodRun::run_steps() {
  Sidecars sidecars(runtime_, network_ ? network_->dial() : Dial(), spec_.grace, spec_.kill,
                    [this](size_t index, bool is_stderr, std::string_view bytes) {
                      const std::lock_guard lock(observing_);
                      observer_.sidecar_output(index, is_stderr, bytes);
                    });
  if (!failed_) start_sidecars(sidecars);
  const bool never_started = failed_;
  bool was_stopped = false;
  for (size_t i = 0; i < spec_.steps.size(); ++i) {
    StepOutcome step;
    if (failed_) {
      step.name = spec_.steps[i].name;
      step.reason = never_started ? StepReason::NotStarted
                    : was_stopped ? StepReason::Cancelled
                                  : StepReason::Skipped;
      step.exit_code = 1;
      step.started = step.finished = system_clock().now();
    } else {
      step = run_step(i);
    }
    {
      const std::lock_guard lock(observing_);
      observer_.step_finished(i, step);
    }
    was_stopped = was_stopped || step.reason == StepReason::Cancelled;
    outcome_.steps.push_back(std::move(step));
  }
  const bool all_ended = sidecars.all_ended();
  outcome_.sidecars = sidecars.end();
  if (auto breakdown = sidecar_breakdown(outcome_, failed_, all_ended)) {
    failed_ = false;  // what the steps made of it no longer counts
    fail(std::move(breakdown->reason), std::move(breakdown->message));
  }
  for (size_t i = 0; i < outcome_.sidecars.size(); ++i) observer_.sidecar_finished(i, outcome_.sidecars[i]);
}

PodOutcome PodRun::run() {
  if (stop_.stop_requested())
    fail("TaskRunCancelled", "TaskRun " + spec_.name + " was cancelled before it started");
  else
    resolve_images();
  if (!failed_) prepare_network();
  run_steps();
  read_results();
  if (!failed_) {
    outcome_.succeeded = true;
    outcome_.reason = "Succeeded";
    outcome_.message = "All Steps have completed executing";
  }
  return std::move(outcome_);
}

}  // namespace kiln::steps
