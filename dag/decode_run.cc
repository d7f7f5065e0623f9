#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/text.h"
#include "dag/convert_bindings.h"
#include "dag/fields.h"
#include "dag/substitution.h"
#include "dag/texts.h"

namespace kiln::dag {
namespace {

// What a workspace is made of: not given, or given twice.
void check_sources(DecodeContext& context, Fields& binding, size_t given, Position at) {
  constexpr std::array<std::string_view, 7> kSources{
      "configMap", "csi", "emptyDir", "persistentVolumeClaim", "projected", "secret", "volumeClaimTemplate"};
  std::vector<std::string> all(kSources.begin(), kSources.end()), found;
  for (std::string_view source : kSources) {
    if (binding.reported(source)) return;
    if (binding.find_given(source) == nullptr) continue;
    found.emplace_back(source);
    at = std::max(at, binding.key_at(source));
  }
  if (given == 0)
    context.error(at, "expected exactly one, got neither: " + join(all, ", "),
                  "for a fresh folder: emptyDir: {}");
  else
    context.error(at, "expected exactly one, got both: " + join(found, ", "), "keep one of them");
}

std::vector<WorkspaceBinding> decode_bindings(DecodeContext& context, Fields& owner) {
  std::vector<WorkspaceBinding> out;
  std::map<std::string, Position> seen;
  for (const Node* item : owner.items("workspaces")) {
    Fields fields(context, *item, "workspace binding");
    WorkspaceBinding binding;
    binding.name = fields.text("name");
    binding.sub_path = fields.text("subPath");
    std::vector<VolumeSource> sources = decode_volume_sources(context, fields);
    const bool claim_template = fields.mapping("volumeClaimTemplate") != nullptr;
    fields.done();
    const size_t given = sources.size() + (claim_template ? 1 : 0);
    if (binding.name.empty() && !fields.reported("name"))
      context.error(item->at, "missing field(s): workspaces.name",
                    "a workspace binding is {name: …, emptyDir: {}} or the like");
    else if (given != 1)
      check_sources(context, fields, given, item->at);
    if (!claim_template && !sources.empty()) {
      binding.kind = WorkspaceBinding::Kind::Volume;
      binding.source = std::move(sources.front());
    }
    check_plain_name(context, binding.name, "workspace");
    const auto [other, fresh] = seen.emplace(to_lower(binding.name.value), binding.name.at);
    if (!fresh && !binding.name.empty())
      context.error(binding.name.at,
                    "workspace \"" + binding.name.value + "\" provided by the run more than once",
                    "the other is on line " + std::to_string(other->second.line));
    out.push_back(std::move(binding));
  }
  return out;
}

PodTemplate decode_pod_template(DecodeContext& context, Fields& owner, std::string_view key) {
  PodTemplate out;
  const Node* node = owner.mapping(key);
  if (node == nullptr) return out;
  Fields fields(context, *node, "podTemplate");
  out.at = node->at;
  out.env = decode_env(context, fields);
  out.volumes = decode_volumes(context, fields);
  out.security = decode_security(context, fields);
  out.host_network = fields.flag("hostNetwork");
  for (const Node* secret : fields.items("imagePullSecrets")) {
    Fields reference(context, *secret, "imagePullSecrets");
    out.image_pull_secrets.push_back(reference.text("name"));
    reference.done();
  }
  fields.ignore_aloud({"nodeSelector", "tolerations", "affinity", "runtimeClassName", "priorityClassName",
                       "schedulerName", "topologySpreadConstraints", "dnsConfig", "dnsPolicy", "hostAliases",
                       "hostUsers"});
  fields.ignore({"automountServiceAccountToken", "enableServiceLinks"});
  fields.done();
  return out;
}

std::vector<ContainerOverride> decode_overrides(DecodeContext& context, Fields& owner, std::string_view key) {
  std::vector<ContainerOverride> out;
  std::map<std::string, Position> seen;
  for (const Node* item : owner.items(key)) {
    Fields fields(context, *item, key);
    ContainerOverride one{fields.text("name"), decode_resources(context, fields, "computeResources")};
    fields.done();
    if (one.name.empty() && !fields.reported("name"))
      context.error(
          item->at, "missing field(s): " + std::string(key) + ".name",
          key == "stepSpecs" ? "the name of the step it is for" : "the name of the sidecar it is for");
    const auto [other, fresh] = seen.emplace(one.name.value, one.name.at);
    if (!fresh && !one.name.empty())
      context.error(one.name.at,
                    "expected exactly one, got both: " + std::string(key) + " \"" + one.name.value +
                        "\" is given twice",
                    "the other is on line " + std::to_string(other->second.line));
    out.push_back(std::move(one));
  }
  return out;
}

// What taskRunSpecs and TaskRun have in common.
void decode_settings(DecodeContext& context, Fields& fields, TaskRunSettings& out) {
  out.service_account = fields.text("serviceAccountName");
  out.pod_template = decode_pod_template(context, fields, "podTemplate");
  out.steps = decode_overrides(context, fields, "stepSpecs");
  out.sidecars = decode_overrides(context, fields, "sidecarSpecs");
  out.resources = decode_resources(context, fields, "computeResources");
  out.timeout = fields.scalar("timeout");
  const bool both = std::ranges::any_of(out.steps, [](const ContainerOverride& step) {
    return !step.resources.cpu_limit.empty() || !step.resources.memory_limit.empty() ||
           !step.resources.cpu_request.empty() || !step.resources.memory_request.empty();
  });
  if (both && fields.find("computeResources") != nullptr)
    context.error(fields.key_at("computeResources"),
                  "expected exactly one, got both: computeResources, stepSpecs.computeResources",
                  "give them for the whole TaskRun or for its steps");
}

void check_status_message(DecodeContext& context, Fields& run, const Text& status) {
  if (const Text message = run.text("statusMessage"); !message.empty() && status.empty())
    context.error(
        message.at,
        "statusMessage should not be set if status is not set, but it is currently set to " + message.value,
        "leave `statusMessage` out");
}

// debug.breakpoints.
std::vector<Text> decode_breakpoints(DecodeContext& context, Fields& run) {
  std::vector<Text> out;
  const Node* debug = run.mapping("debug");
  if (debug == nullptr) return out;
  Fields debugging(context, *debug, "debug");
  if (const Node* breakpoints = debugging.mapping("breakpoints")) {
    Fields points(context, *breakpoints, "breakpoints");
    const Text on_failure = points.text("onFailure");
    if (on_failure.empty())
      context.error(breakpoints->at, "onFailure breakpoint is empty, it is only allowed to be set as enabled",
                    "add `onFailure: enabled`");
    else if (on_failure.value != "enabled")
      context.error(on_failure.at,
                    on_failure.value +
                        " is not a valid onFailure breakpoint value, onFailure breakpoint is only "
                        "allowed to be set as enabled",
                    "onFailure: enabled");
    out.push_back({"onFailure", on_failure.at});
    std::set<std::string> seen{"onFailure"};
    for (Text& step : points.texts("beforeSteps")) {
      if (!seen.insert(step.value).second)
        context.error(
            step.at,
            "before step must be unique, the same step: " + step.value + " is defined multiple times",
            "name it once");
      out.push_back(std::move(step));
    }
    points.done();
  }
  debugging.done();
  return out;
}

// Values that a run is given: nothing has run that they could read.
std::vector<Param> decode_run_params(DecodeContext& context, Fields& run, std::string_view kind) {
  std::vector<Param> params = decode_params(context, run, NamesDiffer::ByMoreThanCase);
  for (const Param& param : params)
    for_each_text(param, [&](std::string_view text, Position at, ArrayUse) {
      for (const Variable& variable : find_variables(text))
        if (variable.reference.path[0] == "tasks")
          context.error(at,
                        "cannot use result expressions in [" +
                            std::string(text.substr(variable.begin + 2, variable.end - variable.begin - 3)) +
                            "] as " + std::string(kind) + " parameter values",
                        "a run's params are known before any task has run: write the value itself");
    });
  return params;
}

std::vector<TaskRunSettings> decode_task_run_specs(DecodeContext& context, Fields& owner) {
  std::vector<TaskRunSettings> out;
  for (const Node* item : owner.items("taskRunSpecs")) {
    Fields fields(context, *item, "taskRunSpecs");
    TaskRunSettings settings;
    settings.at = item->at;
    settings.pipeline_task = fields.text("pipelineTaskName");
    decode_settings(context, fields, settings);
    decode_run_metadata(context, fields, settings.annotations, settings.labels);
    fields.done();
    if (settings.pipeline_task.empty() && !fields.reported("pipelineTaskName"))
      context.error(item->at, "missing field(s): taskRunSpecs.pipelineTaskName",
                    "the name of the task it is for");
    out.push_back(std::move(settings));
  }
  return out;
}

Timeouts decode_timeouts(DecodeContext& context, Fields& run) {
  Timeouts out;
  const Node* node = run.mapping("timeouts");
  if (node == nullptr) return out;
  Fields fields(context, *node, "timeouts");
  out.pipeline = fields.scalar("pipeline");
  out.tasks = fields.scalar("tasks");
  out.finally = fields.scalar("finally");
  fields.done();
  return out;
}

Text decode_status(DecodeContext& context, Fields& run, const std::vector<std::string>& known) {
  Text status = run.text("status");
  if (!status.empty() && std::ranges::find(known, status.value) == known.end())
    context.error(status.at, "invalid value: " + status.value + ": status should be " + join(known, ", "),
                  "leave `status` out to start the run");
  return status;
}

// Exactly one of a reference and an inline spec.
void check_one(DecodeContext& context, const Fields& run, std::string_view ref, bool ref_given,
               std::string_view spec, bool spec_given) {
  if (ref_given != spec_given || run.reported(ref) || run.reported(spec)) return;
  const std::string names = ": " + std::string(ref) + ", " + std::string(spec);
  if (ref_given)
    context.error(std::max(run.key_at(ref), run.key_at(spec)), "expected exactly one, got both" + names,
                  "keep one of them");
  else
    context.error(
        run.at(), "expected exactly one, got neither" + names,
        "say what runs: " + std::string(ref) + ": {name: …}, or all of it under `" + std::string(spec) + "`");
}

}  // namespace

PipelineRun decode_pipeline_run(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "PipelineRun spec");
  PipelineRun run;
  if (const Node* ref = fields.mapping("pipelineRef"))
    run.pipeline_ref = decode_ref(context, *ref, "pipelineRef");
  if (const Node* spec = fields.mapping("pipelineSpec"))
    run.pipeline_spec = std::make_shared<PipelineSpec>(decode_pipeline_spec(context, *spec));
  run.params = decode_run_params(context, fields, "PipelineRun");
  run.workspaces = decode_bindings(context, fields);
  run.timeouts = decode_timeouts(context, fields);
  run.resources = decode_resource_bindings(context, fields);
  if (const Node* settings = fields.mapping("taskRunTemplate")) {
    Fields of_all(context, *settings, "taskRunTemplate");
    run.settings.at = settings->at;
    run.settings.service_account = of_all.text("serviceAccountName");
    run.settings.pod_template = decode_pod_template(context, of_all, "podTemplate");
    of_all.done();
  }
  run.task_run_specs = decode_task_run_specs(context, fields);
  run.status = decode_status(context, fields,
                             {"Cancelled", "CancelledRunFinally", "StoppedRunFinally", "PipelineRunPending"});
  fields.ignore({"managedBy"});
  fields.done();
  check_one(context, fields, "pipelineRef", run.pipeline_ref.given(), "pipelineSpec",
            run.pipeline_spec != nullptr);
  return run;
}

TaskRun decode_task_run(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "TaskRun spec");
  TaskRun run;
  if (const Node* ref = fields.mapping("taskRef")) run.task_ref = decode_ref(context, *ref, "taskRef");
  if (const Node* spec = fields.mapping("taskSpec")) run.task_spec = decode_task_spec(context, *spec);
  run.params = decode_run_params(context, fields, "TaskRun");
  run.workspaces = decode_bindings(context, fields);
  run.resources = decode_resource_bindings(context, fields);
  run.settings.at = node.at;
  decode_settings(context, fields, run.settings);
  if (const auto retries = fields.integer("retries")) {
    if (*retries < 0)
      context.error(fields.find("retries")->at,
                    "invalid value: " + std::to_string(*retries) + " should be >= 0", "0 is for no retries");
    run.retries = static_cast<int>(std::clamp<int64_t>(*retries, 0, 1000));
  }
  run.status = decode_status(context, fields, {"TaskRunCancelled", "TaskRunPending"});
  check_status_message(context, fields, run.status);
  run.breakpoints = decode_breakpoints(context, fields);
  fields.ignore({"managedBy"});
  fields.done();
  check_one(context, fields, "taskRef", run.task_ref.given(), "taskSpec", run.task_spec != nullptr);
  return run;
}

CustomRun decode_custom_run(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "CustomRun spec");
  CustomRun run;
  if (const Node* ref = fields.mapping("customRef")) run.ref = decode_ref(context, *ref, "customRef");
  if (const Node* spec = fields.mapping("customSpec")) run.spec = decode_custom_spec(context, *spec);
  run.params = decode_run_params(context, fields, "CustomRun");
  run.workspaces = decode_bindings(context, fields);
  run.timeout = fields.scalar("timeout");
  run.service_account = fields.text("serviceAccountName");
  run.status = decode_status(context, fields, {"RunCancelled"});
  if (const auto retries = fields.integer("retries"))
    run.retries = static_cast<int>(std::clamp<int64_t>(*retries, 0, 1000));
  check_status_message(context, fields, run.status);
  fields.done();
  check_one(context, fields, "customRef", run.ref.given(), "customSpec", run.spec.has_value());
  if (run.ref.given() == run.spec.has_value()) return run;
  const std::string owner = run.spec ? "customSpec" : "customRef";
  const Text& api = run.spec ? run.spec->api_version : run.ref.api_version;
  const Text& kind = run.spec ? run.spec->kind : run.ref.kind;
  const std::string hint =
      "apiVersion and kind name the controller that runs it, like example.dev/v1 and Wait";
  if (api.empty()) context.error(fields.key_at(owner), "missing field(s): " + owner + ".apiVersion", hint);
  if (kind.empty()) context.error(fields.key_at(owner), "missing field(s): " + owner + ".kind", hint);
  return run;
}

}  // namespace kiln::dag
