#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "registry/images.h"
#include "steps/probe.h"
#include "steps/sandbox.h"

namespace kiln::steps {

// A folder of the host made visible to steps.
struct VolumeMount {
  std::filesystem::path source;       // host folder or file
  std::filesystem::path destination;  // absolute, inside
  bool read_only = false;
  std::filesystem::path within{};  // Mount::within
};

// One Step, everything substituted, as a Tekton Task's `steps` says.
struct StepSpec {
  std::string name;  // "unnamed-N" when the document gives none
  std::string image;
  registry::PullPolicy pull_policy = registry::PullPolicy::IfNotPresent;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string script;
  std::string working_dir;
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<VolumeMount> mounts;
  Duration timeout{};  // zero: none
  bool continue_on_error = false;
  std::optional<uint32_t> run_as_user, run_as_group;
  bool run_as_non_root = false;  // refuse to run as user 0
  std::vector<uint32_t> groups;  // supplementary, beside those of its user
  bool read_only_root = false;
  std::optional<uint64_t> capabilities;  // SandboxSpec::capabilities
  bool privileged = false;               // SandboxSpec::trusted; the user allowed it
  Resources resources;
  std::vector<std::string> results;  // declared names; the step leaves them in its own results folder
  // Files that its output goes to as well: absolute or below /workspace, in a folder that is mounted.
  std::string stdout_path, stderr_path;
};

// What runs beside the steps. Of a StepSpec it has no timeout, results, or files for its output.
struct SidecarSpec : StepSpec {
  std::optional<Probe> startup, readiness, liveness;
};

// Files that every step finds below /tekton/creds, and in its $HOME where it has none of that name: in
// memory, owned by the step's user, for nobody else.
struct CredentialFiles {
  std::filesystem::path folder;              // of the host
  std::vector<std::filesystem::path> files;  // below it
};

struct StepOutcome;

// Whether a step runs, now that its turn has come.
struct StepTurn {
  bool run = true;
  std::vector<std::string> notes;  // for its log, one sentence each
};

// Puts into a step what only the steps before it could tell. Called right before the step, on the thread that
// runs the pod; throws kiln::Error when the step cannot be run.
using StepGuide =
    std::function<StepTurn(size_t index, StepSpec& step, const std::vector<StepOutcome>& before)>;

// One TaskRun's world: its steps run one after another, sharing /workspace, /tekton/{home,results,…} and the
// network. A pure value: an implementation for another machine can take the same one.
struct PodSpec {
  std::string name;              // "<run>-<task>[-retryN]": for people and for cgroups
  std::filesystem::path folder;  // host folder for this attempt: /workspace and /tekton/home
  // Host folder for the many small files of /tekton (scripts, results, statuses): in memory where the machine
  // has it, since disks are slow at making files. Empty: `folder`.
  std::filesystem::path control;
  std::vector<StepSpec> steps;
  // Started before the steps, which wait until each is ready or has ended, and ended after the last of them.
  // They share the steps' network, workspaces and hosts, not /tekton and /workspace.
  std::vector<SidecarSpec> sidecars;
  std::vector<VolumeMount> workspaces;  // for all steps and sidecars
  CredentialFiles credentials;
  std::vector<std::string> results;  // declared names
  Network network = Network::Host;
  bool hermetic = false;  // steps have no network but a loopback of their own; sidecars have `network`
  registry::ImageRequest images;              // how its images are asked for; the policy is each step's own
  bool allow_host_image = false;              // --allow-host
  uint64_t result_limit = 1u << 20;           // bytes per result, and of a provenance.json
  Duration grace = std::chrono::seconds(10);  // between SIGTERM and SIGKILL
  std::stop_token kill = {};                  // ends that grace, and whatever runs, at once
  StepGuide guide;                            // none: every step runs as it stands here
};

enum class StepReason {
  Completed,
  Error,
  Continued,
  Skipped,
  Cancelled,
  TimeoutExceeded,
  OutOfMemory,
  NotStarted
};
std::string_view to_string(StepReason reason);  // Tekton's terminationReason words

struct StepOutcome {
  std::string name;
  int exit_code = 0;
  StepReason reason = StepReason::Completed;
  std::string message;
  std::string image_digest;
  Time started{}, finished{};
  std::map<std::string, std::string> results = {};  // verbatim bytes of those that it left
  std::string artifacts = {};  // its provenance.json (`$(step.artifacts.path)`), verbatim; empty: none
};

struct PodOutcome {
  bool succeeded = false;
  std::string reason;   // TaskRun reason: Succeeded, StepFailed, TaskRunImagePullFailed, TaskRunCancelled,
                        // TaskRunTimeout, TaskRunResultLargerThanAllowedLimit, …
  std::string message;  // for people: names the step, its exit code
  bool infrastructure = false;  // the machine's or a registry's fault rather than the step's: exit 3
  std::vector<StepOutcome> steps, sidecars;
  std::map<std::string, std::string> results;  // verbatim bytes, read even after a failure
  std::string artifacts;                       // the TaskRun's provenance.json (`$(artifacts.path)`)
};

// What happens while a pod runs. Called on the thread that runs the pod; of sidecars on threads of their own.
// One call at a time.
class PodObserver {
 public:
  virtual ~PodObserver() = default;
  virtual void step_started(size_t step, const StepSpec& spec) = 0;
  virtual void step_output(size_t step, bool is_stderr, std::string_view bytes) = 0;
  virtual void step_finished(size_t step, const StepOutcome& outcome) = 0;
  virtual void sidecar_output(size_t /*sidecar*/, bool /*is_stderr*/, std::string_view) {}
  virtual void sidecar_finished(size_t /*sidecar*/, const StepOutcome&) {}
};

// Runs pods on this machine. Thread-safe: many pods at once, one thread each.
class LocalPods {
 public:
  struct Options {
    std::filesystem::path kiln_binary;             // what `image: kiln` runs; usually /proc/self/exe
    std::vector<std::filesystem::path> kiln_dirs;  // writable for `image: kiln` steps: store, state, cache
    std::vector<std::string> inherited_env;        // for `image: kiln` steps: KILN_ROOT, KILN_SERVER, …
    std::vector<std::string> kiln_verbs{"build", "deploy", "git-clone", "image", "version"};
  };
  LocalPods(SandboxRuntime& runtime, const registry::Images& images, Options options);
  // Blocks until the pod has ended. Never throws for what a step did; see PodOutcome.
  PodOutcome run(const PodSpec& spec, PodObserver& observer, std::stop_token stop, Duration timeout);
  // The digests of what its steps, then its sidecars run; `image: kiln` has one of this program. None when
  // one of them is `image: host`, which no digest describes. Throws as registry::Images.
  std::vector<std::string> image_digests(const PodSpec& spec, std::stop_token stop);
  // Gets images that pods will need, ahead of that: registry::Images::prefetch.
  void prefetch(std::vector<registry::WantedImage> wanted, std::stop_token stop) const;

 private:
  SandboxRuntime& runtime_;
  const registry::Images& images_;
  Options options_;
  std::jthread preparation_;  // prepare_host_network(), beside whatever comes before the first step
};

}  // namespace kiln::steps
