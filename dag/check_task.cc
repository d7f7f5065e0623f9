#include "dag/check_task.h"

#include <set>

#include "base/text.h"

namespace kiln::dag {
namespace {

std::vector<std::string> names_of(const ParamScope& scope) {
  std::vector<std::string> names;
  for (const auto& [name, known] : scope) names.push_back(name);
  return names;
}

void check_step(const Step& step, const TaskSpec& spec, const Documents& documents, Reporter& reporter) {
  if (step.ref_at.line > 0) {
    const auto forbid = [&](bool given, Position at, std::string_view field) {
      if (given)
        reporter.error(at, std::string(field) + " cannot be used with Ref", "the StepAction sets it");
    };
    forbid(!step.image.empty(), step.image.at, "image");
    forbid(!step.command.empty(), step.at, "command");
    forbid(!step.args.empty(), step.at, "args");
    forbid(!step.script.empty(), step.script.at, "script");
    forbid(!step.working_dir.empty(), step.working_dir.at, "workingDir");
    forbid(!step.env.empty(), step.at, "env");
    forbid(!step.volume_mounts.empty(), step.at, "volumeMounts");
    forbid(!step.results.empty(), step.at, "results");
    if (step.ref_resolver.empty() && documents.step_action(step.ref.value) == nullptr) {
      std::vector<std::string> known;
      for (const StepAction& action : documents.step_actions) known.push_back(action.metadata.name);
      reporter.error(step.ref.at, "StepAction \"" + step.ref.value + "\" is not among the documents loaded",
                     did_you_mean(step.ref.value, known));
    }
  } else {
    if (step.image.empty() && (!spec.step_template || spec.step_template->image.empty()))
      reporter.error(step.at, "missing field(s): image", "every step runs in an image");
    if (!step.params.empty())
      reporter.error(step.params.front().name.at, "params cannot be used without Ref");
  }
  if (!step.script.empty() && !step.command.empty())
    reporter.error(step.script.at, "script cannot be used with command",
                   "put the command into the script; `args` are passed to it");
  if (!step.on_error.empty() && !may_have_variables(step.on_error.value) &&
      step.on_error.value != "continue" && step.on_error.value != "stopAndFail")
    reporter.error(step.on_error.at,
                   "invalid value: \"" + step.on_error.value +
                       "\": Task step onError must be either \"continue\" or \"stopAndFail\"",
                   did_you_mean(step.on_error.value, {"continue", "stopAndFail"}));
  check_duration(step.timeout, {}, reporter);
  for (const VolumeMount& mount : step.volume_mounts) {
    const std::string& path = mount.mount_path.value;
    if (path.starts_with("/tekton/") && !path.starts_with("/tekton/home"))
      reporter.error(mount.mount_path.at, "volumeMount cannot be mounted under /tekton/ (volumeMount \"" +
                                              mount.name.value + "\" mounted at \"" + path + "\")");
    if (mount.name.value.starts_with("tekton-internal-"))
      reporter.error(mount.name.at,
                     "volumeMount name \"" + mount.name.value + "\" cannot start with \"tekton-internal-\"");
  }
}

void check_results_used(const TaskSpec& spec, Reporter& reporter) {
  std::vector<std::string> declared;
  for (const ResultSpec& result : spec.results) declared.push_back(result.name);
  for (const Step& step : spec.steps)
    for (const ResultSpec& result : step.results) declared.push_back(result.name);
  for_each_text(spec, [&](std::string_view text, Position at, ArrayUse) {
    if (!may_have_variables(text)) return;
    for (const Variable& variable : find_variables(text)) {
      const auto& path = variable.reference.path;
      if (path[0] != "results" || path.size() != 3 || path[2] != "path") continue;
      if (std::ranges::find(declared, path[1]) != declared.end()) continue;
      const std::string_view written = text.substr(variable.begin, variable.end - variable.begin);
      reporter.error(
          reporter.find(at, written),
          "non-existent variable in \"" + std::string(written) + "\": the task declares no result \"" +
              path[1] + "\"",
          declared.empty() ? "add it under the task's `results`" : did_you_mean(path[1], declared));
    }
  });
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.size() < 3) return "";  // every short name is near every other
  const auto near = nearest(word, candidates);
  return near ? "did you mean `" + *near + "`?" : "";
}

void declare(ParamScope& scope, const std::vector<ParamSpec>& specs) {
  for (const ParamSpec& spec : specs) {
    KnownParam known{spec.type, spec.properties, false};
    if (spec.default_value)
      for (const auto& [key, text] : spec.default_value->fields) known.keys.push_back(key);
    scope[spec.name.value] = std::move(known);
  }
}

Position Reporter::find(Position from, std::string_view needle) const {
  const auto source = documents_.sources.find(file_);
  return source == documents_.sources.end() ? from : locate(source->second, from, needle);
}

void Reporter::check_params(std::string_view text, Position at, const ParamScope& scope, ArrayUse arrays,
                            Severity severity) {
  if (!may_have_variables(text)) return;
  for (const Variable& variable : find_variables(text)) {
    const Reference& reference = variable.reference;
    if (reference.path[0] != "params") continue;
    const std::string written(text.substr(variable.begin, variable.end - variable.begin));
    const auto complain = [&](std::string message, std::string hint = {}) {
      diagnostics_.push_back({severity, file_, find(at, written), std::move(message), std::move(hint)});
    };
    auto known = scope.find(reference.path[1]);
    if (known == scope.end() && reference.path.size() > 2) {  // a dotted name, written without brackets
      std::string dotted = reference.path[1];
      for (size_t i = 2; i < reference.path.size(); ++i) dotted += "." + reference.path[i];
      if (scope.contains(dotted)) {
        complain("non-existent variable in \"" + written + "\"",
                 "names with dots need brackets: $(params['" + dotted + "'])");
        continue;
      }
    }
    if (known == scope.end()) {
      const std::string near = did_you_mean(reference.path[1], names_of(scope));
      complain("non-existent variable in \"" + written + "\"",
               near.empty() ? "declare `" + reference.path[1] + "` under `params`" : near);
      continue;
    }
    const bool alone = variable.begin == 0 && variable.end == text.size();
    switch (known->second.type) {
      case ParamType::String:
        if (reference.path.size() > 2)
          complain("non-existent variable in \"" + written + "\"",
                   "`" + reference.path[1] + "` is a string, it has no keys");
        break;
      case ParamType::Array:
        if (reference.suffix == Reference::Suffix::Index) break;
        if (reference.path.size() > 2)
          complain("non-existent variable in \"" + written + "\"", "`" + reference.path[1] + "` is an array");
        else if (arrays == ArrayUse::Never)
          complain("variable type invalid in \"" + written + "\": an array cannot be put into a string",
                   "use one item, $(params." + reference.path[1] + "[0]), or pass it in `args`");
        else if (!alone)
          complain("variable is not properly isolated in \"" + std::string(text.substr(0, 200)) + "\"",
                   "an array reference has to be the whole item");
        break;
      case ParamType::Object:
        if (reference.path.size() == 2) {
          if (arrays != ArrayUse::Whole || !alone)
            complain("variable type invalid in \"" + written + "\": an object cannot be put into a string",
                     "use one of its keys: $(params." + reference.path[1] + ".KEY)");
        } else if (!known->second.any_key &&
                   std::ranges::find(known->second.keys, reference.path[2]) == known->second.keys.end()) {
          complain("non-existent variable in \"" + written + "\"",
                   did_you_mean(reference.path[2], known->second.keys));
        }
        break;
    }
  }
}

void for_each_text(const Step& step, const std::function<void(std::string_view, Position, ArrayUse)>& visit) {
  for (const Text* text : {&step.image, &step.script, &step.working_dir, &step.timeout, &step.on_error,
                           &step.image_pull_policy, &step.resources.cpu_limit, &step.resources.memory_limit})
    visit(text->value, text->at, ArrayUse::Never);
  for (const auto* list : {&step.command, &step.args})
    for (const Text& text : *list) visit(text.value, text.at, ArrayUse::Alone);
  for (const EnvVar& variable : step.env) visit(variable.value.value, variable.value.at, ArrayUse::Never);
  for (const VolumeMount& mount : step.volume_mounts)
    for (const Text* text : {&mount.name, &mount.mount_path, &mount.sub_path})
      visit(text->value, text->at, ArrayUse::Never);
  for (const WorkspaceUsage& usage : step.workspaces)
    visit(usage.mount_path.value, usage.mount_path.at, ArrayUse::Never);
  for (const Param& param : step.params) for_each_text(param, visit);
  for (const When& when : step.when) {
    visit(when.input.value, when.input.at, ArrayUse::Never);
    for (const Text& text : when.values) visit(text.value, text.at, ArrayUse::Alone);
  }
}

void for_each_text(const Param& param,
                   const std::function<void(std::string_view, Position, ArrayUse)>& visit) {
  switch (param.value.type) {
    case ParamType::String:
      visit(param.value.text, param.at, ArrayUse::Whole);
      break;
    case ParamType::Array:
      for (const std::string& item : param.value.items) visit(item, param.at, ArrayUse::Alone);
      break;
    case ParamType::Object:
      for (const auto& [key, text] : param.value.fields) visit(text, param.at, ArrayUse::Never);
      break;
  }
}

void for_each_text(const TaskSpec& spec,
                   const std::function<void(std::string_view, Position, ArrayUse)>& visit) {
  if (spec.step_template) for_each_text(*spec.step_template, visit);
  for (const Step& step : spec.steps) for_each_text(step, visit);
}

Duration check_duration(const Text& text, Duration fallback, Reporter& reporter) {
  if (text.empty() || may_have_variables(text.value)) return fallback;
  const auto duration = parse_duration(text.value);
  if (duration && *duration >= Duration{}) return *duration;
  reporter.error(text.at, "invalid duration \"" + text.value + "\"",
                 "write it like 1h30m, 90s, or 0 for none");
  return fallback;
}

void check_task_spec(const TaskSpec& spec, const ParamScope& scope, const Documents& documents,
                     Reporter& reporter) {
  if (spec.steps.empty())
    reporter.error(spec.at, "missing field(s): steps", "a task needs at least one step");
  std::set<std::string_view> names;
  for (const Step& step : spec.steps) {
    if (!step.name.empty() && !names.insert(step.name.value).second)
      reporter.error(step.name.at, "invalid value: " + step.name.value + ": step names must be unique");
    check_step(step, spec, documents, reporter);
  }
  for_each_text(spec, [&](std::string_view text, Position at, ArrayUse arrays) {
    reporter.check_params(text, at, scope, arrays);
  });
  for (const ParamSpec& param : spec.params)
    if (param.default_value)
      for_each_text(Param{param.name, *param.default_value, param.default_at},
                    [&](std::string_view text, Position at, ArrayUse) {
                      // Tekton takes such a default and leaves it as it is.
                      reporter.check_params(text, at, scope, ArrayUse::Whole, Severity::Warning);
                    });
  check_results_used(spec, reporter);
}

std::shared_ptr<const TaskSpec> bind_step_actions(std::shared_ptr<const TaskSpec> spec,
                                                  const Documents& documents) {
  const auto refers = [](const Step& step) { return step.ref_at.line > 0; };
  if (std::ranges::none_of(spec->steps, refers)) return spec;
  auto bound = std::make_shared<TaskSpec>(*spec);
  for (Step& step : bound->steps)
    if (const StepAction* action = refers(step) ? documents.step_action(step.ref.value) : nullptr)
      step.action = std::make_shared<StepAction>(*action);
  return bound;
}

void refuse_unsupported(const TaskSpec& spec, Reporter& reporter) {
  const auto refuse = [&](Position at, std::string_view what) {
    reporter.error(at, std::string(what) + " cannot be run yet",
                   "`kiln lint` accepts it; run it on a cluster meanwhile");
  };
  for (const Sidecar& sidecar : spec.sidecars) refuse(sidecar.at, "a sidecar");
  const auto step = [&](const Step& s) {
    if (s.env_from) refuse(s.at, "`envFrom`");
    for (const EnvVar& variable : s.env)
      if (variable.value_from.line > 0) refuse(variable.value_from, "`valueFrom`");
    if (!s.when.empty()) refuse(s.when.front().at, "`when` of a step");
    if (!s.results.empty()) refuse(s.results.front().name.at, "a step result");
    if (!s.workspaces.empty()) refuse(s.workspaces.front().name.at, "an isolated workspace");
    if (!s.ref_resolver.empty()) refuse(s.ref_at, "a StepAction from a resolver");
    if (s.security.privileged) refuse(s.at, "`privileged`");
    for (const VolumeMount& mount : s.volume_mounts) {
      if (may_have_variables(mount.name.value)) continue;
      const auto volume = std::ranges::find_if(
          spec.volumes, [&](const Volume& v) { return v.name.value == mount.name.value; });
      if (volume == spec.volumes.end())
        reporter.error(mount.name.at,
                       "volume \"" + mount.name.value + "\" is not among the task's `volumes`");
    }
  };
  if (spec.legacy_resources.line > 0) refuse(spec.legacy_resources, "a task with PipelineResources");
  if (spec.step_template) step(*spec.step_template);
  for (const Step& s : spec.steps) step(s);
  for (const Volume& volume : spec.volumes)
    if (volume.kind != Volume::Kind::EmptyDir && volume.kind != Volume::Kind::PersistentVolumeClaim)
      refuse(volume.name.at, "a volume of this kind");
}

}  // namespace kiln::dag
