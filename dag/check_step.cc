#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/text.h"
#include "dag/check_task.h"
#include "dag/image_name.h"
#include "dag/quantity.h"

namespace kiln::dag {
namespace {

void check_ref(const Step& step, Reporter& reporter) {
  const auto first = [&](const std::vector<Text>& list) { return list.empty() ? step.at : list.front().at; };
  const auto forbid = [&](bool given, Position at, std::string_view field) {
    if (given)
      reporter.error(at.line > 0 ? at : step.at, std::string(field) + " cannot be used with Ref",
                     "take it out: the StepAction sets it; what may differ is given by `params`");
  };
  forbid(!step.image.empty(), step.image.at, "image");
  forbid(!step.command.empty(), first(step.command), "command");
  forbid(!step.args.empty(), first(step.args), "args");
  forbid(!step.script.empty(), step.script.at, "script");
  forbid(!step.working_dir.empty(), step.working_dir.at, "working dir");
  forbid(!step.env.empty(), step.env.empty() ? step.at : step.env.front().name.at, "env");
  forbid(!step.volume_mounts.empty(),
         step.volume_mounts.empty() ? step.at : step.volume_mounts.front().name.at, "volumeMounts");
  forbid(!step.results.empty(), step.results.empty() ? step.at : step.results.front().name.at, "results");
}

void check_mounts(const Container& container, Reporter& reporter) {
  for (const VolumeMount& mount : container.volume_mounts) {
    const std::string& path = mount.mount_path.value;
    if (path.starts_with("/tekton/") && !path.starts_with("/tekton/home"))
      reporter.error(mount.mount_path.at,
                     "volumeMount cannot be mounted under /tekton/ (volumeMount \"" + mount.name.value +
                         "\" mounted at \"" + path + "\")",
                     "only /tekton/home may be mounted over");
    if (mount.name.value.starts_with("tekton-internal-"))
      reporter.error(mount.name.at,
                     "volumeMount name \"" + mount.name.value + "\" cannot start with \"tekton-internal-\"",
                     "rename the volume");
  }
}

// `base` is the Task's stepTemplate, if there is one.
void check_script(const Container& container, const Step* base, Reporter& reporter) {
  if (container.script.empty()) return;
  const bool own = !container.command.empty();
  if (own || (base != nullptr && !base->command.empty()))
    reporter.error(container.script.at, "script cannot be used with command",
                   own ? "put the command into the script; `args` are passed to it"
                       : "the stepTemplate has a `command`: take it out there, or give it to the steps that "
                         "need it");
}

// No more may be asked for than there may be. What a container does not say its stepTemplate does.
void check_resources(const Container& container, const Step* base, Reporter& reporter) {
  const auto check = [&](Text ComputeResources::*request, Text ComputeResources::*limit, const char* what) {
    const auto text_of = [&](Text ComputeResources::*field) -> const Text& {
      const Text& own = container.resources.*field;
      return own.empty() && base != nullptr ? base->resources.*field : own;
    };
    const Text& wanted = text_of(request);
    const Text& most = text_of(limit);
    const auto wanted_amount = parse_quantity(wanted.value);
    const auto most_amount = parse_quantity(most.value);
    if (wanted_amount && most_amount && *wanted_amount > *most_amount)
      reporter.error(
          wanted.at,
          "invalid request resource value: " + wanted.value + " must be less or equal to limit " + most.value,
          std::string("raise limits.") + what + ", or ask for less under requests." + what);
  };
  check(&ComputeResources::cpu_request, &ComputeResources::cpu_limit, "cpu");
  check(&ComputeResources::memory_request, &ComputeResources::memory_limit, "memory");
}

std::string_view text_of(const Variable& variable, std::string_view text) {
  return text.substr(variable.begin, variable.end - variable.begin);
}

bool is_step_result(const std::vector<std::string>& path) {
  return path.size() >= 4 && path[0] == "steps" && path[2] == "results";
}
bool is_step_artifact(const std::vector<std::string>& path) {
  return path.size() >= 3 && path[0] == "steps" && (path[2] == "outputs" || path[2] == "inputs");
}

// What other steps made is put in when the step starts, into some fields only.
struct StepOutputs {
  Reporter& reporter;
  bool script = false;
  void operator()(const Text& text) {
    if (!may_have_variables(text.value)) return;
    for (const Variable& variable : find_variables(text.value)) {
      const auto& path = variable.reference.path;
      const std::string written = text.value.substr(variable.begin, variable.end - variable.begin);
      if (is_step_result(path))
        reporter.error(reporter.find(text.at, written),
                       "stepResult substitutions are only allowed in env, command and args: " + written,
                       script
                           ? "put it into a variable under `env`, and read that in the script"
                           : "it is only known when the step starts: use it in `env`, `command` or `args`");
      else if (is_step_artifact(path) && !script)
        reporter.error(
            reporter.find(text.at, written),
            "stepArtifact substitutions are only allowed in env, command, args and script: " + written,
            "it is only known when the step starts: use it in one of these");
    }
  }
};

void check_step_outputs(const Step& step, Reporter& reporter) {
  StepOutputs check{reporter};
  check(step.image);
  check(step.working_dir);
  check(step.image_pull_policy);
  for (const EnvFrom& from : step.env_from) {
    check(from.name);
    check(from.prefix);
  }
  for (const VolumeMount& mount : step.volume_mounts) {
    check(mount.name);
    check(mount.mount_path);
    check(mount.sub_path);
  }
  for (const VolumeDevice& device : step.volume_devices) {
    check(device.name);
    check(device.device_path);
  }
  check.script = true;
  check(step.script);
}

// `$(step.results.NAME.path)`: a result of this very step.
void check_own_results(const Step& step, Reporter& reporter) {
  std::set<std::string> declared;
  for (const ResultSpec& result : step.results) declared.insert(result.name);
  for_each_text(step, [&](std::string_view text, Position at, ArrayUse) {
    if (!may_have_variables(text)) return;
    for (const Variable& variable : find_variables(text)) {
      const auto& path = variable.reference.path;
      if (path[0] != "step" || path.size() != 4 || path[1] != "results" || path[3] != "path") continue;
      if (declared.contains(path[2])) continue;
      const std::string written(text.substr(variable.begin, variable.end - variable.begin));
      reporter.error(
          reporter.find(at, written),
          "non-existent variable in \"" + written + "\": the step declares no result \"" + path[2] + "\"",
          declared.empty() ? "add it under the step's `results`: {name: " + path[2] + "}"
                           : reporter.choices(path[2], declared, "it"));
    }
  });
}

// Tekton's own names for pods' containers.
constexpr std::string_view kReservedSidecar = "tekton-log-results";

}  // namespace

void check_image(const Text& image, Reporter& reporter) {
  if (!image.empty()) check_image_name(image.value, image, reporter);
}

void check_step(const Step& step, const Step* base, Reporter& reporter) {
  if (step.ref.given()) {
    check_ref(step, reporter);
  } else {
    if (step.image.empty() && (base == nullptr || base->image.empty()))
      reporter.error(step.at, "missing field(s): image", "every step runs in an image: add `image: …`");
    if (!step.params.empty())
      reporter.error(step.params.front().name.at, "params cannot be used without Ref",
                     "declare them under the task's `params`; a step's own are for a StepAction");
    check_image(step.image, reporter);
  }
  check_script(step, base, reporter);
  check_resources(step, base, reporter);
  if (!step.on_error.empty() && !may_have_variables(step.on_error.value) &&
      step.on_error.value != "continue" && step.on_error.value != "stopAndFail")
    reporter.error(step.on_error.at,
                   "invalid value: \"" + step.on_error.value +
                       "\": Task step onError must be either \"continue\" or \"stopAndFail\"",
                   on_error_hint(step.on_error.value));
  check_duration(step.timeout, {}, reporter);
  check_mounts(step, reporter);
  check_step_outputs(step, reporter);
  check_own_results(step, reporter);
  for (const When& when : step.when) check_cel(when, reporter);
}

void check_sidecar(const Sidecar& sidecar, Reporter& reporter) {
  if (sidecar.image.empty())
    reporter.error(sidecar.at, "missing field(s): image", "every sidecar runs in an image: add `image: …`");
  check_image(sidecar.image, reporter);
  if (sidecar.name.value == kReservedSidecar)
    reporter.error(sidecar.name.at,
                   "Invalid: cannot use reserved sidecar name " + std::string(kReservedSidecar), "rename it");
  check_script(sidecar, nullptr, reporter);
  check_resources(sidecar, nullptr, reporter);
  check_mounts(sidecar, reporter);
}

void check_step_action(const StepAction& action, Reporter& reporter) {
  const Step& step = action.step;
  if (step.image.empty())
    reporter.error(step.at, "missing field(s): image", "every StepAction names an image: add `image: …`");
  check_image(step.image, reporter);
  check_script(step, nullptr, reporter);
  check_mounts(step, reporter);
  check_own_results(step, reporter);
  ParamScope scope;
  scope.declare(action.params);
  check_param_specs(action.params, reporter);
  check_defaults(action.params, scope, reporter);
  check_result_specs(step.results, reporter);
  for (const Variable& variable : find_variables(step.script.value))
    if (variable.reference.path[0] == "params") {
      reporter.error(reporter.find(step.script.at, text_of(variable, step.script.value)),
                     "param substitution in scripts is not allowed.",
                     "put it into a variable under `env`, and read that in the script");
      break;
    }
  for (const VolumeMount& mount : step.volume_mounts) {
    const auto variables = find_variables(mount.name.value);
    if (variables.size() != 1 || variables[0].begin != 0 || variables[0].end != mount.name.value.size() ||
        variables[0].reference.path[0] != "params")
      reporter.error(
          mount.name.at,
          "invalid value: " + mount.name.value + ": expect the Name to be a single param reference",
          "the volume belongs to the Task: take its name as a param");
  }
  Step without_script = step;
  without_script.script = {};
  for_each_text(without_script, [&](std::string_view text, Position at, ArrayUse arrays) {
    reporter.check_params(text, at, scope, arrays);
  });
  for (const Variable& variable : find_variables(step.script.value)) {
    const auto& path = variable.reference.path;
    if (path[0] == "results" && path.size() == 3 && path[2] == "path")
      reporter.error(reporter.find(step.script.at, text_of(variable, step.script.value)),
                     "non-existent variable in \"$(results." + path[1] + ".path)\"",
                     "a StepAction has step results: $(step.results." + path[1] + ".path)");
  }
}

void check_action_params(const Step& step, const StepAction& action, Reporter& reporter) {
  std::vector<std::string> missing;
  std::set<std::string_view> declared;
  std::map<std::string_view, const Param*> passed;
  for (const Param& param : step.params) passed.emplace(param.name.value, &param);
  for (const ParamSpec& spec : action.params) {
    declared.insert(spec.name.value);
    const auto found = passed.find(spec.name.value);
    const Param* given = found == passed.end() ? nullptr : found->second;
    if (given == nullptr) {
      if (!spec.default_value) missing.push_back(spec.name);
    } else if (given->value.type != spec.type && !may_have_variables(given->value.text)) {
      reporter.error(given->at,
                     "param types don't match the user-specified type: [" + spec.name.value +
                         "]: StepAction declares " + std::string(to_string(spec.type)) + ", " +
                         std::string(to_string(given->value.type)) + " is given",
                     spec.type == ParamType::Array    ? "write a list: [\"…\"]"
                     : spec.type == ParamType::Object ? "write a mapping: {KEY: …}"
                                                      : "write a string");
    }
  }
  if (!missing.empty())
    reporter.error(step.ref.at, "non-existent params in Step: [" + list_of(missing, " ") + "]",
                   "StepAction `" + action.metadata.name.value +
                       "` has no default for them: add under the "
                       "step's `params`: {name: " +
                       missing.front() + ", value: …}");
  for (const Param& param : step.params)
    if (!declared.contains(param.name.value))
      reporter.error(param.name.at, "extra params passed by Step to StepAction: [" + param.name.value + "]",
                     declared.empty() ? "StepAction `" + action.metadata.name.value + "` takes no params"
                                      : reporter.choices(param.name.value, declared,
                                                         "StepAction `" + action.metadata.name.value + "`"));
}

}  // namespace kiln::dag
