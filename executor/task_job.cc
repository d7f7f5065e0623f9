#include "executor/task_job.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::executor {
namespace {

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
  LogWriter(const RunningTask& task, const steps::PodSpec& pod, const fs::path& folder, RunObserver& observer,
            std::mutex& observing, std::stop_source& stop)
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
      write_all(files_.at(step).get(), bytes, "log of task " + task_.label);
    } catch (const Error& e) {
      problem_ = e;
      stop_.request_stop();
    }
  }

  const RunningTask& task_;
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

// A link may lead anywhere: what counts is where the folder really is.
void check_host_paths(const PodRequest& request) {
  for (const PodRequest::Folder& folder : request.host_paths) {
    std::error_code missing;
    const fs::path target = fs::canonical(folder.path, missing);
    if (missing)
      throw Error(ErrorKind::Invalid, "the hostPath " + folder.path.string() + " is not there",
                  "make it first");
    const fs::path inside = fs::canonical(folder.inside);
    const auto [end, rest] = std::mismatch(inside.begin(), inside.end(), target.begin(), target.end());
    if (end != inside.end())
      throw Error(ErrorKind::Invalid, "the hostPath " + folder.path.string() + " leads to " +
                                          target.string() + ", which was not allowed");
  }
}

}  // namespace

Outcome outcome_of(const Error& error) {
  Outcome out;
  out.reason = error.kind() == ErrorKind::Invalid ? "TaskRunValidationFailed" : "Failed";
  out.infrastructure = error.kind() == ErrorKind::Infrastructure || error.kind() == ErrorKind::Unavailable;
  out.message = error.full() + (error.hint().empty() ? "" : " (" + error.hint() + ")");
  return out;
}

Outcome run_pod(PodRunner& pods, const PodRequest& request, const std::filesystem::path& logs,
                const RunningTask& task, RunObserver& observer, std::mutex& observing,
                std::stop_source& stop) {
  const steps::PodSpec& pod = request.spec;
  const OnExit clean([&] {
    try {
      remove_tree(request.private_folder);
      remove_tree(pod.folder);
    } catch (const Error&) {  // left behind for `kiln runs delete`
    }
  });
  make_dirs(pod.folder, 0755);
  make_folders(request);
  check_host_paths(request);
  for (const VolumeContent& volume : request.contents) write_volume(volume, request.group);
  LogWriter log(task, pod, logs, observer, observing, stop);
  if (!pod.steps.empty())
    for (const std::string& note : request.notes) log.step_output(0, true, "kiln: note: " + note + "\n");
  steps::PodOutcome outcome = pods.run(pod, log, stop.get_token());
  return log.problem() ? outcome_of(*log.problem()) : outcome_of(std::move(outcome));
}

}  // namespace kiln::executor
