#include "dag/fields.h"

namespace kiln::dag {
namespace {

std::vector<EnvVar> decode_env(DecodeContext& context, Fields& step) {
  std::vector<EnvVar> out;
  const Node* list = step.sequence("env");
  if (list == nullptr) return out;
  for (const Node* item : list->items) {
    Fields fields(context, *item, "environment variable");
    EnvVar variable;
    variable.name = fields.text("name");
    variable.value = fields.text("value");
    if (const Node* from = fields.mapping("valueFrom")) variable.value_from = from->at;
    fields.done();
    if (variable.name.empty()) {
      context.error(item->at, "an environment variable needs a `name`");
      continue;
    }
    out.push_back(std::move(variable));
  }
  return out;
}

std::vector<VolumeMount> decode_volume_mounts(DecodeContext& context, Fields& step) {
  std::vector<VolumeMount> out;
  const Node* list = step.sequence("volumeMounts");
  if (list == nullptr) return out;
  for (const Node* item : list->items) {
    Fields fields(context, *item, "volume mount");
    VolumeMount mount{fields.text("name"), fields.text("mountPath"), fields.text("subPath"),
                      fields.flag("readOnly")};
    fields.ignore({"subPathExpr", "mountPropagation", "recursiveReadOnly"});
    fields.done();
    out.push_back(std::move(mount));
  }
  return out;
}

void decode_resources(DecodeContext& context, Fields& step, ComputeResources& out) {
  for (std::string_view key : {"computeResources", "resources"}) {
    const Node* node = step.mapping(key);
    if (node == nullptr) continue;
    Fields fields(context, *node, "computeResources");
    if (const Node* limits = fields.mapping("limits")) {
      Fields values(context, *limits, "limits");
      out.cpu_limit = values.scalar("cpu");
      out.memory_limit = values.scalar("memory");
    }
    fields.ignore({"requests", "claims"});
    fields.done();
  }
}

void decode_security(DecodeContext& context, Fields& step, SecurityContext& out) {
  const Node* node = step.mapping("securityContext");
  if (node == nullptr) return;
  Fields fields(context, *node, "securityContext");
  out.run_as_user = fields.integer("runAsUser");
  out.run_as_group = fields.integer("runAsGroup");
  out.read_only_root = fields.flag("readOnlyRootFilesystem");
  out.privileged = fields.flag("privileged");
  for (const auto& id : {out.run_as_user, out.run_as_group})
    if (id && (*id < 0 || *id > 0x7FFFFFFF))
      context.error(node->at, "user and group ids are between 0 and 2147483647");
  fields.ignore({"runAsNonRoot", "allowPrivilegeEscalation", "capabilities", "seLinuxOptions",
                 "seccompProfile", "procMount", "windowsOptions", "appArmorProfile", "fsGroup",
                 "supplementalGroups", "sysctls"});
  fields.done();
}

// Fields that steps, stepTemplate and StepActions share.
void decode_step_fields(DecodeContext& context, Fields& fields, Step& step) {
  step.image = fields.text("image");
  step.command = fields.texts("command");
  step.args = fields.texts("args");
  step.working_dir = fields.text("workingDir");
  step.env = decode_env(context, fields);
  step.volume_mounts = decode_volume_mounts(context, fields);
  decode_security(context, fields, step.security);
}

}  // namespace

Step decode_step(DecodeContext& context, const Node& node, std::string_view what) {
  Fields fields(context, node, what);
  Step step;
  step.at = node.at;
  step.name = fields.text("name");
  if (!step.name.empty() && !is_dns_label(step.name.value))
    context.error(step.name.at,
                  "invalid value \"" + step.name.value.substr(0, 100) + "\": " + std::string(what) +
                      " name must be a valid DNS Label",
                  "lower-case letters, digits and `-`, at most 63");
  decode_step_fields(context, fields, step);
  step.script = fields.text("script");
  step.env_from = fields.sequence("envFrom") != nullptr;
  step.image_pull_policy = fields.text("imagePullPolicy");
  decode_resources(context, fields, step.resources);
  step.timeout = fields.text("timeout");
  step.on_error = fields.text("onError");
  step.params = decode_params(context, fields);
  step.results = decode_results(context, fields);
  step.when = decode_when(context, fields);
  if (const Node* ref = fields.mapping("ref")) {
    step.ref_at = ref->at;
    Fields ref_fields(context, *ref, "step ref");
    step.ref = ref_fields.text("name");
    step.ref_resolver = ref_fields.text("resolver");
    ref_fields.ignore({"params"});
    ref_fields.done();
  }
  if (const Node* list = fields.sequence("workspaces"))
    for (const Node* item : list->items) {
      Fields usage(context, *item, "step workspace");
      step.workspaces.push_back({usage.text("name"), usage.text("mountPath")});
      usage.done();
    }
  fields.ignore({"displayName", "volumeDevices", "stdoutConfig", "stderrConfig", "ports", "livenessProbe",
                 "readinessProbe", "startupProbe", "lifecycle", "terminationMessagePath",
                 "terminationMessagePolicy", "stdin", "stdinOnce", "tty"});
  fields.done();
  return step;
}

std::vector<When> decode_when(DecodeContext& context, Fields& owner) {
  std::vector<When> out;
  const Node* list = owner.sequence("when");
  if (list == nullptr) return out;
  for (const Node* item : list->items) {
    Fields fields(context, *item, "when expression");
    When when;
    when.at = item->at;
    when.input = fields.scalar("input");
    when.op = fields.text("operator");
    const Node* values = fields.sequence("values");
    if (values != nullptr)
      for (const Node* value : values->items) {
        if (value->kind == Node::Kind::Scalar)
          when.values.push_back({value->scalar, value->at});
        else
          when.values.push_back(text_of(context, *value, "values"));
      }
    when.cel = fields.text("cel");
    fields.done();
    if (!when.cel.empty() && !when.op.empty()) {
      context.error(when.op.at, "cel and input+operator+values cannot be set in one WhenExpression");
    } else if (when.cel.empty()) {
      if (when.op.value != "in" && when.op.value != "notin")
        context.error(when.op.at.line > 0 ? when.op.at : when.at,
                      when.op.empty() ? "a when expression needs an `operator`"
                                      : "operator \"" + when.op.value + "\" is not recognized",
                      "valid operators: in, notin");
      if (when.values.empty()) context.error(when.at, "expecting non-empty values field");
    }
    out.push_back(std::move(when));
  }
  return out;
}

StepAction decode_step_action(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "StepAction spec");
  StepAction action;
  action.step.at = node.at;
  decode_step_fields(context, fields, action.step);
  action.step.script = fields.text("script");
  action.step.results = decode_results(context, fields);
  action.params = decode_param_specs(context, fields);
  fields.ignore({"description", "displayName"});
  fields.done();
  return action;
}

}  // namespace kiln::dag
