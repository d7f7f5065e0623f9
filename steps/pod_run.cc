#include "steps/pod_run.h"

#include <algorithm>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "steps/host_network.h"
#include "steps/step_command.h"

namespace kiln::steps {
namespace {

constexpr std::string_view kKilnImage = "kiln", kHostImage = "host";
constexpr const char* kCredentials = "/tekton/creds";
constexpr const char* kKilnInside = "/tekton/bin/kiln";

// A host name from any text: RFC 1123, at most 63 characters.
std::string host_name(std::string_view name) {
  std::string out;
  for (const char c : to_lower(name)) out += std::isalnum(static_cast<unsigned char>(c)) ? c : '-';
  if (out.size() > 63) out.resize(63);
  while (out.ends_with('-')) out.pop_back();
  return out.empty() ? "kiln" : out;
}

bool is_infrastructure(ErrorKind kind) {
  return kind == ErrorKind::Infrastructure || kind == ErrorKind::Unavailable;
}

std::string with_hint(const Error& error) {
  return error.full() + (error.hint().empty() ? "" : " (" + error.hint() + ")");
}

void restrict_user(const StepSpec& step, SandboxSpec& sandbox) {
  if (step.image == kKilnImage) return;
  if (step.run_as_non_root && sandbox.uid == 0)
    throw Error(ErrorKind::Invalid,
                "it has runAsNonRoot, and " + (step.run_as_user ? std::string("runAsUser is 0")
                                                                : "the user of " + step.image + " is root"),
                "set securityContext.runAsUser to another user");
  sandbox.groups.insert(sandbox.groups.end(), step.groups.begin(), step.groups.end());
  sandbox.capabilities = step.capabilities;
  if (step.privileged) sandbox.trusted = true;
}

}  // namespace

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
      folder_(spec.folder, spec.steps) {
  if (timeout.count() > 0) deadline_ = std::chrono::steady_clock::now() + timeout;
}

void PodRun::fail(std::string reason, std::string message, bool infrastructure) {
  if (failed_) return;
  failed_ = true;
  outcome_.reason = std::move(reason);
  outcome_.message = std::move(message);
  outcome_.infrastructure = infrastructure;
}

Duration PodRun::time_left() const {
  if (!deadline_) return {};
  return std::max<Duration>(*deadline_ - std::chrono::steady_clock::now(), Duration(1));
}

// All images before the first step, as a cluster does: a wrong name costs nothing but its message.
bool PodRun::resolve_images() {
  for (const StepSpec& step : spec_.steps) {
    step_images_.emplace_back();
    if (step.image == kKilnImage) {
      if (const std::string problem = kiln_step_problem(step, options_.kiln_verbs); !problem.empty())
        fail("TaskRunValidationFailed", problem);
      continue;
    }
    if (step.image == kHostImage) {
      if (!spec_.allow_host_image)
        fail("TaskRunValidationFailed", "step " + step.name +
                                            " wants `image: host`, this machine's own root; " +
                                            "allow that with --allow-host");
      continue;
    }
    try {
      step_images_.back() = images_(step, stop_);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::Cancelled)
        fail("TaskRunCancelled", "cancelled while getting " + step.image);
      else
        fail("TaskRunImagePullFailed",
             "the image \"" + step.image + "\" of step " + step.name + " cannot be had: " + with_hint(error),
             is_infrastructure(error.kind()));
    }
    if (failed_) break;
  }
  return !failed_;
}

// Tekton's creds-init: a folder of the step's own in memory, and copies where programs look for them.
void add_credentials(const CredentialFiles& credentials, bool in_home, SandboxSpec& sandbox) {
  if (credentials.files.empty()) return;
  std::erase_if(sandbox.mounts, [](const Mount& mount) { return mount.destination == kCredentials; });
  sandbox.mounts.push_back({.kind = Mount::Kind::Tmpfs, .source = {}, .destination = kCredentials});
  const auto copy = [&](const fs::path& folder) {
    for (const fs::path& file : credentials.files)
      sandbox.mounts.push_back(
          {.kind = Mount::Kind::Copy, .source = credentials.folder / file, .destination = folder / file});
  };
  copy(kCredentials);
  if (!in_home) return;
  for (const std::string& variable : sandbox.env)
    if (variable.starts_with("HOME=/"))
      if (const fs::path home = fs::path(variable.substr(5)).lexically_normal(); home != kCredentials)
        copy(home);
}

// image: kiln and image: host run on this machine's root, read-only but for their own folders.
void PodRun::set_host_world(size_t index, SandboxSpec& sandbox, const Variables& variables) {
  const StepSpec& step = spec_.steps[index];
  const Environment host = current_environment();
  const bool trusted = step.image == kKilnImage;
  sandbox.rootfs.host = true;
  sandbox.trusted = trusted;
  std::vector<std::string> env = host_network(host, spec_.folder, spec_.network, true).env;
  StepSpec on_host = step;
  if (trusted) {
    on_host.command = {kKilnInside};
    const auto inherit = [&](const std::string& name) {
      if (name.find('=') != std::string::npos)
        env.push_back(name);
      else if (const auto found = host.find(name); found != host.end())
        env.push_back(name + "=" + found->second);
    };
    // What the user's credentials and kiln's own folders are found by.
    for (const char* name : {"HOME", "PATH", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME",
                             "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE"})
      inherit(name);
    for (const std::string& name : options_.inherited_env) inherit(name);
    env.push_back("KILN_STEP=1");
    env.push_back("TMPDIR=/tekton/tmp");
    sandbox.mounts.push_back({.kind = Mount::Kind::Tmpfs, .source = {}, .destination = "/tekton/tmp"});
    for (const fs::path& folder : options_.kiln_dirs) {
      make_dirs(folder);
      sandbox.mounts.push_back({.source = folder, .destination = folder});
    }
    std::error_code missing;
    const fs::path binary = fs::canonical(options_.kiln_binary, missing);
    if (missing)
      throw Error(ErrorKind::Infrastructure,
                  "kiln's own program " + options_.kiln_binary.native() + " is gone",
                  "was it replaced while running? start kiln again");
    sandbox.mounts.push_back({.source = binary, .destination = kKilnInside, .read_only = true});
  } else {
    sandbox.uid = step.run_as_user.value_or(::geteuid());
    sandbox.gid = step.run_as_group.value_or(::getegid());
  }
  sandbox.env = step_env({}, env, variables, "/tekton/home");
  const std::string script = step.script.empty() ? "" : folder_.write_script(index, script_file(step.script));
  sandbox.args = step_command(on_host, {}, script, variables);
}

void PodRun::set_image_world(size_t index, SandboxSpec& sandbox, const Variables& variables) {
  const StepSpec& step = spec_.steps[index];
  const StepImage& image = step_images_[index];
  const HostNetwork network = host_network(current_environment(), spec_.folder, spec_.network);
  const ImageUser user = resolve_user(
      image.config.user, read_image_file(image.lowers, "/etc/passwd").value_or(""),
      read_image_file(image.lowers, "/etc/group").value_or(""), step.run_as_user, step.run_as_group);
  sandbox.rootfs.lowers = image.lowers;
  sandbox.rootfs.read_only = step.read_only_root;
  sandbox.uid = user.uid;
  sandbox.gid = user.gid;
  sandbox.groups = user.groups;
  sandbox.mounts.insert(sandbox.mounts.begin(), network.mounts.begin(), network.mounts.end());
  sandbox.env = step_env(image.config, network.env, variables, user.home);
  const std::string script = step.script.empty() ? "" : folder_.write_script(index, script_file(step.script));
  sandbox.args = step_command(step, image.config, script, variables);
}

SandboxSpec PodRun::sandbox_of(size_t index) {
  const StepSpec& step = spec_.steps[index];
  const Variables variables = expand_env(step.env);
  SandboxSpec sandbox;
  sandbox.id = spec_.name + "-" + std::to_string(index);
  sandbox.hostname = host_name(spec_.name);
  sandbox.network = spec_.network;
  sandbox.resources = step.resources;
  sandbox.mounts = folder_.mounts(index, spec_.network);
  const bool on_host = step.image == kKilnImage || step.image == kHostImage;
  if (on_host) {
    // The host has its own /etc/hosts.
    std::erase_if(sandbox.mounts, [](const Mount& mount) { return mount.destination == "/etc/hosts"; });
    set_host_world(index, sandbox, variables);
  } else {
    set_image_world(index, sandbox, variables);
  }
  for (const std::vector<VolumeMount>* list : {&spec_.workspaces, &step.mounts})
    for (const VolumeMount& volume : *list)
      sandbox.mounts.push_back({.source = volume.source,
                                .destination = volume.destination,
                                .read_only = volume.read_only,
                                .owned_by_step = true});
  add_credentials(spec_.credentials, step.image != kKilnImage, sandbox);
  restrict_user(step, sandbox);
  std::string cwd = expand_variables(step.working_dir, variables);
  if (cwd.empty() && !on_host) cwd = step_images_[index].config.working_dir;
  if (cwd.empty()) cwd = on_host ? "/workspace" : "/";
  sandbox.cwd = (fs::path("/workspace") / cwd).lexically_normal();
  return sandbox;
}

SandboxSpec PodRun::sandbox_for(size_t index) {
  if (!resolve_images()) throw Error(ErrorKind::Invalid, outcome_.message);
  return sandbox_of(index);
}

// What the end of a step's process means: for the step, and for the pod.
void PodRun::conclude(size_t index, const RunResult& result, bool pod_time, StepOutcome& outcome) {
  const StepSpec& step = spec_.steps[index];
  const std::string name = "step " + step.name;
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
      fail("StepFailed", name + " exceeded its timeout of " + limit);
  } else if (!status.started) {
    outcome.reason = StepReason::Error;
    outcome.message = status.message;
    fail("StepFailed", name + " could not be started: " + status.message);
  } else if (status.out_of_memory) {
    outcome.reason = StepReason::OutOfMemory;
    outcome.message = "used more than its " + format_bytes(step.resources.memory_bytes) + " of memory";
    fail("StepOOM", name + " " + outcome.message);
  } else if (status.code != 0) {
    outcome.message = "exited with code " + std::to_string(status.code);
    if (status.code > 128 && status.code < 128 + 65) {
      const char* signal = sigabbrev_np(status.code - 128);
      if (signal) outcome.message += std::string(" (SIG") + signal + ")";
    }
    outcome.reason = step.continue_on_error ? StepReason::Continued : StepReason::Error;
    // Kiln's own verbs say with their exit code whose fault it was (DESIGN.md, "The command line").
    const bool infrastructure =
        step.image == kKilnImage && status.code == exit_code(ErrorKind::Infrastructure);
    if (!step.continue_on_error) fail("StepFailed", name + " " + outcome.message, infrastructure);
  }
}

StepOutcome PodRun::run_step(size_t index) {
  const StepSpec& step = spec_.steps[index];
  StepOutcome outcome;
  outcome.name = step.name;
  outcome.image_digest = step_images_[index].digest;
  outcome.started = system_clock().now();
  observer_.step_started(index, step);
  try {
    const SandboxSpec sandbox = sandbox_of(index);
    const Duration left = time_left();
    const bool pod_time = left.count() > 0 && (step.timeout.count() <= 0 || left < step.timeout);
    const RunResult result = run_to_end(
        runtime_, sandbox,
        [&](bool is_stderr, std::string_view bytes) { observer_.step_output(index, is_stderr, bytes); },
        stop_, pod_time ? left : step.timeout);
    for (const std::string& warning : result.warnings)
      observer_.step_output(index, true, "kiln: warning: " + warning + "\n");
    conclude(index, result, pod_time, outcome);
    folder_.write_exit_code(index, outcome.exit_code);
  } catch (const Error& error) {
    outcome.reason = StepReason::NotStarted;
    outcome.exit_code = 128;
    outcome.message = with_hint(error);
    fail(is_infrastructure(error.kind()) ? "Failed" : "CreateContainerConfigError",
         "step " + step.name + " could not be started: " + outcome.message, is_infrastructure(error.kind()));
  }
  outcome.finished = system_clock().now();
  return outcome;
}

void PodRun::read_results() {
  for (const std::string& name : spec_.results) {
    const auto result = folder_.read_result(name, spec_.result_limit);
    if (!result) continue;
    if (result->size <= spec_.result_limit)
      outcome_.results[name] = result->value;
    else
      fail("TaskRunResultLargerThanAllowedLimit",
           "the result \"" + name + "\" is " + format_bytes(result->size) + " (" +
               std::to_string(result->size) + " bytes); at most " + format_bytes(spec_.result_limit) +
               " are allowed: put it into a workspace instead");
  }
}

PodOutcome PodRun::run() {
  if (stop_.stop_requested())
    fail("TaskRunCancelled", "TaskRun " + spec_.name + " was cancelled before it started");
  else
    resolve_images();
  const bool never_started = failed_;
  for (size_t i = 0; i < spec_.steps.size(); ++i) {
    StepOutcome step;
    if (failed_) {
      step.name = spec_.steps[i].name;
      step.reason = never_started ? StepReason::NotStarted : StepReason::Skipped;
      step.exit_code = 1;
      step.started = step.finished = system_clock().now();
    } else {
      step = run_step(i);
    }
    observer_.step_finished(i, step);
    outcome_.steps.push_back(std::move(step));
  }
  read_results();
  if (!failed_) {
    outcome_.succeeded = true;
    outcome_.reason = "Succeeded";
    outcome_.message = "All Steps have completed executing";
  }
  return std::move(outcome_);
}

}  // namespace kiln::steps
