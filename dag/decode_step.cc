#include "base/text.h"
#include "dag/fields.h"

namespace kiln::dag {
namespace {

void check_name(DecodeContext& context, const Text& name, std::string_view what) {
  if (!name.empty() && !is_dns_label(name.value))
    context.error(name.at,
                  "invalid value \"" + name.value.substr(0, 100) + "\": " + std::string(what) +
                      " name must be a valid DNS Label",
                  "lower-case letters, digits and `-`, at most 63");
}

std::string operator_hint(const std::string& op) {
  for (const char* same : {"==", "=", "eq", "equals", "equal", "is"})
    if (iequals(op, same)) return "valid operators: in, notin; for one value write `in` and values: [\"…\"]";
  for (const char* other : {"!=", "ne", "not", "not in", "not_in", "isnot"})
    if (iequals(op, other)) return "did you mean `notin`? valid operators: in, notin";
  return iequals(op, "in") || iequals(op, "notin") ? "write it in lower case: " + to_lower(op)
                                                   : "valid operators: in, notin";
}

// One mistake about one expression: the first there is.
void check_when(DecodeContext& context, const When& when, const Fields& fields) {
  if (!when.cel.empty()) {
    const Text& other = when.input.empty() ? when.op : when.input;
    if (!other.empty())
      context.error(other.at, "cel and input+operator+values cannot be set in one WhenExpression",
                    "split them into two `when` items: all have to hold");
  } else if (when.op.empty() && when.input.empty() && when.values.empty()) {
    if (!fields.reported("cel"))
      context.error(when.at, "an empty when expression",
                    "write {input: …, operator: in, values: […]}, or `cel`");
  } else if (when.op.empty()) {
    if (!fields.reported("operator"))
      context.error(when.at, "operator \"\" is not recognized: a when expression needs an `operator`",
                    "valid operators: in, notin");
  } else if (when.op.value != "in" && when.op.value != "notin") {
    context.error(when.op.at, "operator \"" + when.op.value + "\" is not recognized", operator_hint(when.op));
  } else if (when.values.empty() && !fields.reported("values")) {
    context.error(fields.key_at("values"), "expecting non-empty values field",
                  "list what `input` is compared with: values: [\"…\"]");
  }
}

Text decode_output_path(DecodeContext& context, Fields& step, std::string_view key) {
  const Node* node = step.mapping(key);
  if (node == nullptr) return {};
  Fields fields(context, *node, key);
  Text path = fields.text("path");
  fields.done();
  return path;
}

}  // namespace

Step decode_step(DecodeContext& context, const Node& node, std::string_view what) {
  Fields fields(context, node, what);
  Step step;
  step.at = node.at;
  step.name = fields.text("name");
  check_name(context, step.name, what);
  decode_container(context, fields, step);
  step.display_name = fields.text("displayName");
  step.timeout = fields.text("timeout");
  step.on_error = fields.text("onError");
  step.params = decode_params(context, fields);
  step.results = decode_results(context, fields);
  step.when = decode_when(context, fields);
  if (const Node* ref = fields.mapping("ref")) step.ref = decode_ref(context, *ref, "step ref");
  step.stdout_path = decode_output_path(context, fields, "stdoutConfig");
  step.stderr_path = decode_output_path(context, fields, "stderrConfig");
  fields.done();
  return step;
}

Sidecar decode_sidecar(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "sidecar");
  Sidecar sidecar;
  sidecar.at = node.at;
  sidecar.name = fields.text("name");
  check_name(context, sidecar.name, "sidecar");
  decode_container(context, fields, sidecar);
  sidecar.readiness = decode_probe(context, fields, "readinessProbe");
  sidecar.startup = decode_probe(context, fields, "startupProbe");
  sidecar.liveness = decode_probe(context, fields, "livenessProbe");
  sidecar.restart_policy = fields.text("restartPolicy");
  sidecar.ports = decode_ports(context, fields);
  fields.ignore({"lifecycle", "stdin", "stdinOnce", "tty"});
  fields.done();
  return sidecar;
}

std::vector<When> decode_when(DecodeContext& context, Fields& owner) {
  std::vector<When> out;
  for (const Node* item : owner.items("when")) {
    Fields fields(context, *item, "when expression");
    When when;
    when.at = item->at;
    when.input = fields.text("input");
    when.op = fields.text("operator");
    when.values = fields.texts("values");
    when.cel = fields.text("cel");
    fields.done();
    check_when(context, when, fields);
    out.push_back(std::move(when));
  }
  return out;
}

StepAction decode_step_action(DecodeContext& context, const Node& node) {
  Fields fields(context, node, "StepAction spec");
  StepAction action;
  action.step.at = node.at;
  decode_container(context, fields, action.step);
  action.step.results = decode_results(context, fields);
  action.params = decode_param_specs(context, fields);
  fields.ignore({"description", "displayName"});
  fields.done();
  return action;
}

}  // namespace kiln::dag
