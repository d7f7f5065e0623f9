#include "dag/check_task.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/text.h"
#include "dag/fields.h"

namespace kiln::dag {
namespace {

// `$(results.NAME.path)` of a result that nobody declares: Tekton refuses it in a script, elsewhere it stays
// as it is written.
void check_results_used(const TaskSpec& spec, Reporter& reporter) {
  std::set<std::string> declared;
  std::set<Position> scripts;
  for (const ResultSpec& result : spec.results) declared.insert(result.name);
  for (const Step& step : spec.steps) {
    scripts.insert(step.script.at);
    for (const ResultSpec& result : step.results) declared.insert(result.name);
  }
  for_each_text(spec, [&](std::string_view text, Position at, ArrayUse) {
    if (!may_have_variables(text)) return;
    for (const Variable& variable : find_variables(text)) {
      const auto& path = variable.reference.path;
      if (path[0] != "results" || path.size() != 3 || path[2] != "path") continue;
      if (declared.contains(path[1])) continue;
      const std::string written(text.substr(variable.begin, variable.end - variable.begin));
      reporter.report(
          scripts.contains(at) ? Severity::Error : Severity::Warning, reporter.find(at, written),
          "non-existent variable in \"" + written + "\": the task declares no result \"" + path[1] + "\"",
          declared.empty() ? "add it under the task's `results`: {name: " + path[1] + "}"
                           : reporter.choices(path[1], declared, "it"));
    }
  });
}

// A step and the results that it declares.
struct Producer {
  const Step* step = nullptr;
  std::set<std::string_view> results;
};
using Producers = std::map<std::string_view, Producer>;

Producers producers_of(const TaskSpec& spec) {
  Producers out;
  for (const Step& step : spec.steps) {
    Producer& producer = out[step.name.value] = {&step, {}};
    for (const ResultSpec& result : step.results) producer.results.insert(result.name.value);
  }
  return out;
}

// `value` of a task result: exactly one result of one step.
void check_result_value(const Producers& producers, const ResultSpec& result, Reporter& reporter) {
  if (!result.value) return;
  if (result.value->type != ParamType::String) {
    reporter.error(
        result.value_at,
        "Invalid Type. Wanted string but got: \"" + std::string(to_string(result.value->type)) + "\"",
        "write one string: $(steps.STEP.results.RESULT)");
    return;
  }
  const std::string& text = result.value->text;
  const auto variables = find_variables(text);
  const auto& path = variables.empty() ? std::vector<std::string>{} : variables[0].reference.path;
  if (path.size() != 4 || path[0] != "steps" || path[2] != "results" || variables[0].begin != 0 ||
      variables[0].end != text.size()) {
    reporter.error(result.value_at,
                   "Could not extract step name and result name. Expected value to look like "
                   "$(steps.<stepName>.results.<resultName>) but got \"" +
                       text.substr(0, 200) + "\"",
                   "a step that writes $(results." + result.name.value + ".path) needs no `value` here");
    return;
  }
  const auto producer = producers.find(path[1]);
  if (!is_dns_label(path[1]))
    reporter.error(result.value_at, "invalid extracted step name \"" + path[1] + "\"",
                   "a step's name has lower-case letters, digits and `-`");
  else if (producer == producers.end())
    reporter.error(result.value_at, "the task has no step \"" + path[1] + "\"",
                   producers.size() == 1 && producers.contains("")
                       ? "give the step a `name`"
                       : reporter.choices(path[1], producers, "it", &Producers::value_type::first));
  else if (!producer->second.step->ref.given() && !producer->second.results.contains(path[3]))
    reporter.error(result.value_at, "step \"" + path[1] + "\" declares no result \"" + path[3] + "\"",
                   "add it under the step's `results`: {name: " + path[3] + "}");
}

// "/data/" and "/data" are one place.
std::string clean(const std::string& path) {
  std::string out = std::filesystem::path(path).lexically_normal();
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  return out;
}

void check_mount_paths(const TaskSpec& spec, Reporter& reporter) {
  std::set<std::string> taken;
  const auto take = [&](const Step& step) {
    for (const VolumeMount& mount : step.volume_mounts) taken.insert(clean(mount.mount_path));
  };
  for (const Step& step : spec.steps) take(step);
  if (spec.step_template) take(*spec.step_template);
  for (const WorkspaceDeclaration& workspace : spec.workspaces) {
    const std::string path =
        workspace.mount_path.empty() ? "/workspace/" + workspace.name.value : clean(workspace.mount_path);
    if (!taken.insert(path).second)
      reporter.error(workspace.mount_path.empty() ? workspace.name.at : workspace.mount_path.at,
                     "workspace mount path \"" + path + "\" must be unique",
                     "something else of this task is mounted there: give one of them another `mountPath`");
  }
}

// stdoutConfig and stderrConfig write into what outlives the step: elsewhere Tekton writes a file that nobody
// will see, and a step does not start here.
void check_streams(const TaskSpec& spec, Reporter& reporter) {
  std::vector<std::string> kept{"/workspace", "/tekton"};
  for (const WorkspaceDeclaration& workspace : spec.workspaces) kept.push_back(workspace.mount_path);
  for (const Step& step : spec.steps) {
    std::vector<std::string> places = kept;
    for (const WorkspaceUsage& usage : step.workspaces) places.push_back(usage.mount_path);
    for (const VolumeMount& mount : step.volume_mounts) places.push_back(mount.mount_path);
    if (spec.step_template)
      for (const VolumeMount& mount : spec.step_template->volume_mounts) places.push_back(mount.mount_path);
    const bool open = step.ref.given() || std::ranges::any_of(places, [](const std::string& place) {
                        return may_have_variables(place);
                      });
    for (const auto& [field, path] :
         {std::pair{"stdoutConfig", &step.stdout_path}, std::pair{"stderrConfig", &step.stderr_path}}) {
      if (open || !path->value.starts_with('/') || may_have_variables(path->value)) continue;
      const std::string file = clean(*path);
      if (std::ranges::none_of(places, [&](const std::string& place) {
            return !place.empty() && file.starts_with(clean(place) + "/");
          }))
        reporter.warn(path->at,
                      std::string(field) + ".path " + path->value +
                          " is in no folder that outlives the step: "
                          "the step cannot start here",
                      "name a file below /workspace, /tekton/results, or a volume that the step can write");
    }
  }
}

// Workspaces isolated to a step or sidecar.
void check_usages(const TaskSpec& spec, bool inline_spec, Reporter& reporter) {
  std::set<std::string> declared;
  for (const WorkspaceDeclaration& workspace : spec.workspaces) declared.insert(workspace.name);
  const auto check = [&](const Container& container) {
    for (const WorkspaceUsage& usage : container.workspaces)
      if (!declared.contains(usage.name.value) && !inline_spec)
        reporter.error(usage.name.at, "undefined workspace \"" + usage.name.value + "\"",
                       declared.empty()
                           ? "declare it under the task's `workspaces`: {name: " + usage.name.value + "}"
                           : reporter.choices(usage.name.value, declared, "the task"));
  };
  for (const Step& step : spec.steps) check(step);
  for (const Sidecar& sidecar : spec.sidecars) check(sidecar);
}

void check_contexts(const TaskSpec& spec, Reporter& reporter) {
  static const std::map<std::string, std::vector<std::string>> kKnown{
      {"taskRun", {"name", "namespace", "uid"}}, {"task", {"name", "retry-count"}}};
  for_each_text(spec, [&](std::string_view text, Position at, ArrayUse) {
    if (!may_have_variables(text)) return;
    for (const Variable& variable : find_variables(text)) {
      const auto& path = variable.reference.path;
      if (path[0] != "context" || path.size() != 3) continue;
      const auto known = kKnown.find(path[1]);
      if (known == kKnown.end() || std::ranges::find(known->second, path[2]) != known->second.end()) continue;
      const std::string written(text.substr(variable.begin, variable.end - variable.begin));
      const std::optional<std::string> near = nearest(path[2], known->second);
      reporter.error(reporter.find(at, written), "non-existent variable in \"" + written + "\"",
                     near ? "did you mean `$(context." + path[1] + "." + *near + ")`?"
                          : "context." + path[1] + " has: " + join(known->second, ", "));
    }
  });
}

}  // namespace

void check_task_spec(const TaskSpec& spec, const ParamScope& scope, bool inline_spec, Reporter& reporter) {
  if (spec.steps.empty() && !spec.unreadable)
    reporter.error(spec.at, "missing field(s): steps",
                   "a task needs at least one step: steps: [{image: …, script: …}]");
  std::set<std::string_view> names;
  const Step* base = spec.step_template ? &*spec.step_template : nullptr;
  for (const Step& step : spec.steps) {
    if (!step.name.empty() && !names.insert(step.name.value).second)
      reporter.error(step.name.at, "step name \"" + step.name.value + "\" must be unique",
                     "rename one of them, or leave the name out");
    check_step(step, base, reporter);
    check_result_specs(step.results, reporter);
  }
  if (base != nullptr) check_image(base->image, reporter);
  for (const Sidecar& sidecar : spec.sidecars) check_sidecar(sidecar, reporter);
  check_param_specs(spec.params, reporter);
  check_defaults(spec.params, scope, reporter);
  check_result_specs(spec.results, reporter);
  const Producers producers = producers_of(spec);
  for (const ResultSpec& result : spec.results) check_result_value(producers, result, reporter);
  check_mount_paths(spec, reporter);
  check_usages(spec, inline_spec, reporter);
  check_streams(spec, reporter);
  for_each_text(spec, [&](std::string_view text, Position at, ArrayUse arrays) {
    reporter.check_params(text, at, scope, arrays);
    check_slips(text, at, scope, reporter);
  });
  check_results_used(spec, reporter);
  check_contexts(spec, reporter);
}

}  // namespace kiln::dag
