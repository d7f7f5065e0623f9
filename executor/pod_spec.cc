#include "executor/pod_spec.h"

#include <algorithm>
#include <charconv>

#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"
#include "dag/quantity.h"
#include "executor/cached_pod.h"
#include "executor/credentials.h"
#include "executor/image_requests.h"
#include "executor/pod_mounts.h"
#include "executor/scheduler.h"
#include "steps/capabilities.h"

namespace kiln::executor {
namespace {

// What Tekton's controller would have written on the pod.
PodFacts facts_of(const dag::Plan& plan, size_t index, const dag::ResolvedTask& resolved,
                  std::string_view run_name, dag::TaskRunIndex which, const PodPlaces& places) {
  static const dag::ClusterObjects kNone;
  const dag::PlannedTask& task = plan.tasks[index];
  const std::string task_run = dag::child_name(plan, index, run_name, which);
  PodFacts facts{
      .objects = plan.objects ? *plan.objects : kNone,
      .name = dag::pod_name(task_run, which.attempt),
      .uid = sha256(std::string(run_name) + "/" + attempt_name(plan, index, run_name, which)).short_text(),
      .node = places.node,
      .labels = plan.labels,
      .annotations = plan.annotations,
      .containers = {},
      .machine_cpus = places.cpus,
      .machine_memory = places.memory};
  if (!task.settings->service_account.empty()) facts.service_account = task.settings->service_account;
  for (const auto& [key, value] : task.settings->annotations) facts.annotations[key] = value;
  for (const auto& [key, value] : task.settings->labels) facts.labels[key] = value;
  facts.labels["app.kubernetes.io/managed-by"] = "kiln";
  facts.labels["tekton.dev/taskRun"] = task_run;
  if (!task.task_name.empty()) facts.labels["tekton.dev/task"] = task.task_name;
  if (plan.kind == dag::Plan::Kind::Pipeline) {
    facts.labels["tekton.dev/pipeline"] = plan.inline_spec ? std::string(run_name) : plan.name;
    facts.labels["tekton.dev/pipelineRun"] = run_name;
    facts.labels["tekton.dev/pipelineTask"] = task.name;
  }
  for (const dag::Step& step : resolved.spec.steps)
    facts.containers["step-" + step.name.value] = step.resources;
  for (const dag::Sidecar& sidecar : resolved.spec.sidecars)
    facts.containers["sidecar-" + sidecar.name.value] = sidecar.resources;
  return facts;
}

class PodMaker {
 public:
  PodMaker(const dag::PlannedTask& task, const dag::ResolvedTask& resolved, const std::string& folder,
           const PodPlaces& places, PodFacts facts)
      : task_(task),
        resolved_(resolved),
        places_(places),
        facts_(std::move(facts)),
        out_(request(folder, places)),
        mounts_(task, resolved, places, facts_, out_) {}

  PodRequest make(std::string name) {
    steps::PodSpec& pod = out_.spec;
    pod.name = std::move(name);
    pod.network = places_.network;
    const auto mode = facts_.annotations.find("experimental.tekton.dev/execution-mode");
    pod.hermetic = mode != facts_.annotations.end() && mode->second == "hermetic";
    if (task_.settings->pod_template.host_network && pod.network != steps::Network::Host)
      out_.notes.push_back("hostNetwork is not honoured: --network asks for less");
    if (const auto& group = task_.settings->pod_template.security.fs_group)
      out_.group = static_cast<uint32_t>(*group);
    add_credentials();
    pod.allow_host_image = places_.allow_host_image;
    for (const dag::ResultSpec& result : resolved_.spec.results) pod.results.push_back(result.name);
    pod.workspaces = mounts_.shared();
    for (const dag::Step& step : resolved_.spec.steps) pod.steps.push_back(make_step(step));
    for (const dag::Sidecar& sidecar : resolved_.spec.sidecars) pod.sidecars.push_back(make_sidecar(sidecar));
    out_.flow = StepFlow(resolved_.spec);
    pod.guide = out_.flow.guide();
    return std::move(out_);
  }

 private:
  static PodRequest request(const std::string& folder, const PodPlaces& places) {
    PodRequest out;
    out.spec.folder = places.run / "pods" / folder;
    out.private_folder = places.secrets / folder;
    out.spec.control = out.private_folder / "tekton";
    return out;
  }

  void add_credentials() {
    const auto& accounts = facts_.objects.service_accounts;
    const auto account = accounts.find(facts_.service_account);
    if (account == accounts.end()) {
      if (!task_.settings->service_account.empty() && facts_.service_account != "default")
        out_.notes.push_back("ServiceAccount \"" + facts_.service_account +
                             "\" is not among the documents loaded: no credentials come from it");
      return;
    }
    std::vector<VolumeFile> files = credential_files(account->second, facts_, out_.notes);
    if (files.empty()) return;
    out_.spec.credentials.folder = out_.private_folder / "creds";
    for (const VolumeFile& file : files) out_.spec.credentials.files.push_back(file.path);
    out_.contents.push_back({out_.private_folder / "creds", std::move(files)});
  }

  double quantity(const std::string& who, const dag::Text& text) {
    if (text.empty()) return 0;
    const auto value = dag::parse_quantity(text.value);
    if (!value || *value < 0) refuse(who, "\"" + text.value + "\" is not a quantity");
    return *value;
  }

  // What steps and sidecars have in common.
  void fill(const dag::Container& container, const std::string& who, steps::StepSpec& out) {
    if (container.image.empty()) refuse(who, "it has no image");
    out.name = container.name;
    out.image = container.image;
    out.pull_policy = pull_policy_of(container);
    for (const dag::Text& word : container.command) out.command.push_back(word);
    for (const dag::Text& word : container.args) out.args.push_back(word);
    out.script = container.script;
    out.working_dir = container.working_dir;
    out.env = container_env(container, facts_);
    out.mounts = mounts_.of(container, who, out.env);
    set_security(container.security, who, out);
    out.resources.cpus = quantity(who, container.resources.cpu_limit);
    out.resources.memory_bytes = static_cast<uint64_t>(quantity(who, container.resources.memory_limit));
  }

  steps::StepSpec make_step(const dag::Step& step) {
    const std::string who = "step " + step.name.value;
    steps::StepSpec out;
    fill(step, who, out);
    if (!step.timeout.empty()) {
      const auto timeout = parse_duration(step.timeout.value);
      if (!timeout) refuse(who, "\"" + step.timeout.value + "\" is not a duration");
      out.timeout = *timeout;
    }
    out.continue_on_error = step.on_error.value == "continue";
    for (const dag::ResultSpec& result : step.results) out.results.push_back(result.name);
    out.stdout_path = step.stdout_path;
    out.stderr_path = step.stderr_path;
    return out;
  }

  steps::SidecarSpec make_sidecar(const dag::Sidecar& sidecar) {
    const std::string who = "sidecar " + sidecar.name.value;
    steps::SidecarSpec out;
    fill(sidecar, who, out);
    for (const auto& [probe, made] :
         {std::pair{&sidecar.startup, &out.startup}, std::pair{&sidecar.readiness, &out.readiness},
          std::pair{&sidecar.liveness, &out.liveness}})
      if (*probe) *made = make_probe(**probe, sidecar, who);
    return out;
  }

  // A port by its number, or by the name that the container gives it.
  uint16_t port_number(const std::string& text, const dag::Sidecar& sidecar, const std::string& who) {
    uint16_t port = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (problem == std::errc() && end == text.data() + text.size() && port != 0) return port;
    for (const dag::ContainerPort& one : sidecar.ports)
      if (!text.empty() && one.name.value == text && one.number > 0 && one.number < 65536)
        return static_cast<uint16_t>(one.number);
    refuse(who, "a probe's port \"" + text + "\" is no number from 1 to 65535 and no name of its ports");
  }

  steps::Probe make_probe(const dag::Probe& probe, const dag::Sidecar& sidecar, const std::string& who) {
    using Kind = dag::Probe::Kind;
    steps::Probe out;
    out.kind = probe.kind == Kind::Exec      ? steps::Probe::Kind::Exec
               : probe.kind == Kind::HttpGet ? steps::Probe::Kind::HttpGet
               : probe.kind == Kind::Grpc    ? steps::Probe::Kind::Grpc
                                             : steps::Probe::Kind::TcpSocket;
    if (probe.host.value != "localhost" && probe.host.value != "127.0.0.1") out.host = probe.host;
    out.https = probe.scheme.value == "HTTPS";
    for (const dag::ProbeHeader& header : probe.headers) out.headers.emplace_back(header.name, header.value);
    out.service = probe.service;
    if (probe.termination_grace) out.grace = std::chrono::seconds(*probe.termination_grace);
    for (const dag::Text& word : probe.command) out.command.push_back(word);
    if (!probe.path.empty())
      out.path = probe.path.value.starts_with('/') ? probe.path.value : "/" + probe.path.value;
    if (probe.kind != Kind::Exec) out.port = port_number(probe.port, sidecar, who);
    out.initial_delay = std::chrono::seconds(probe.initial_delay);
    out.period = std::chrono::seconds(std::max<int64_t>(probe.period, 1));
    out.timeout = std::chrono::seconds(std::max<int64_t>(probe.timeout, 1));
    out.success_threshold = static_cast<int>(std::max<int64_t>(probe.success_threshold, 1));
    out.failure_threshold = static_cast<int>(std::max<int64_t>(probe.failure_threshold, 1));
    return out;
  }

  void set_security(const dag::SecurityContext& security, const std::string& who, steps::StepSpec& out) {
    if (security.run_as_user) out.run_as_user = static_cast<uint32_t>(*security.run_as_user);
    if (security.run_as_group) out.run_as_group = static_cast<uint32_t>(*security.run_as_group);
    out.read_only_root = security.read_only_root.value_or(false);
    out.run_as_non_root = security.run_as_non_root.value_or(false);
    const dag::SecurityContext& pod = task_.settings->pod_template.security;
    for (const int64_t group : pod.supplemental_groups) out.groups.push_back(static_cast<uint32_t>(group));
    if (pod.fs_group) out.groups.push_back(static_cast<uint32_t>(*pod.fs_group));
    out.privileged = security.privileged.value_or(false);
    if (out.privileged && !places_.allow_privileged)
      throw Error(ErrorKind::Invalid, "task " + task_.name + ", " + who + " wants to be privileged",
                  "allow it with --allow-privileged");
    const auto names = [](const std::vector<dag::Text>& list) {
      return std::vector<std::string>(list.begin(), list.end());
    };
    if (!security.add_capabilities.empty() || !security.drop_capabilities.empty())
      out.capabilities = steps::capability_mask(names(security.add_capabilities),
                                                names(security.drop_capabilities), places_.allow_privileged);
  }

  [[noreturn]] void refuse(const std::string& who, const std::string& message) const {
    throw Error(ErrorKind::Invalid, "task " + task_.name + ", " + who + ": " + message);
  }

  const dag::PlannedTask& task_;
  const dag::ResolvedTask& resolved_;
  const PodPlaces& places_;
  PodFacts facts_;
  PodRequest out_;
  PodMounts mounts_;
};

}  // namespace

PodRequest make_pod(const dag::Plan& plan, size_t task, const dag::ResolvedTask& resolved,
                    std::string_view run_name, dag::TaskRunIndex which, const PodPlaces& places) {
  std::string name = attempt_name(plan, task, run_name, which);
  const dag::PlannedTask& planned = plan.tasks[task];
  const std::string folder = planned.name + (which.in_matrix ? "-" + std::to_string(*which.in_matrix) : "") +
                             "." + std::to_string(which.attempt);
  PodFacts facts = facts_of(plan, task, resolved, run_name, which, places);
  PodRequest request = PodMaker(planned, resolved, folder, places, std::move(facts)).make(std::move(name));
  request.spec.images = {.answered_since = places.images_since,
                         .credentials = pull_credentials(plan, *planned.settings, request.notes)};
  ask_for_cache(request, plan, planned, resolved, which);
  return request;
}

}  // namespace kiln::executor
