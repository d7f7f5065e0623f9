#include <algorithm>

#include "base/text.h"
#include "dag/compiler.h"
#include "dag/resolve.h"
#include "dag/substitution.h"

// Whether the ConfigMaps and Secrets that a run names are there, with the keys it wants, before anything
// starts. Where names may be on the cluster (lint), they are warnings.
namespace kiln::dag {
namespace {

bool from_object(const EnvVar& variable) {
  return variable.from == EnvVar::From::ConfigMapKey || variable.from == EnvVar::From::SecretKey;
}

bool from_object(const VolumeSource& source) {
  return source.kind == VolumeSource::Kind::ConfigMap || source.kind == VolumeSource::Kind::Secret ||
         source.kind == VolumeSource::Kind::Projected || source.kind == VolumeSource::Kind::DownwardApi;
}

bool needs_objects(const Step& step) {
  return !step.env_from.empty() ||
         std::ranges::any_of(step.env, [](const EnvVar& e) { return from_object(e); }) ||
         (step.action && needs_objects(step.action->step));
}

bool needs_objects(const TaskSpec& spec) {
  return std::ranges::any_of(spec.steps, [](const Step& step) { return needs_objects(step); }) ||
         (spec.step_template && needs_objects(*spec.step_template)) ||
         std::ranges::any_of(spec.volumes, [](const Volume& v) { return from_object(v.source); }) ||
         std::ranges::any_of(spec.sidecars, [](const Sidecar& sidecar) {
           return !sidecar.env_from.empty() ||
                  std::ranges::any_of(sidecar.env, [](const EnvVar& e) { return from_object(e); });
         });
}

class ObjectCheck {
 public:
  ObjectCheck(const ClusterObjects& objects, Severity severity) : objects_(objects), severity_(severity) {}

  void variable(const EnvVar& variable, Reporter& reporter) const {
    if (!from_object(variable) || variable.optional) return;
    const bool secret = variable.from == EnvVar::From::SecretKey;
    if (const KeyValues* object = find(secret, variable.object, variable.object.at, reporter))
      key(*object, secret, variable.object, variable.key, reporter);
  }

  void env_from(const EnvFrom& from, Reporter& reporter) const {
    if (!from.optional) find(from.secret, from.name, from.name.at, reporter);
  }

  void source(const VolumeSource& source, Reporter& reporter) const {
    for (const VolumeSource& inner : source.sources) this->source(inner, reporter);
    for (const KeyToPath& item : source.items) path(item.path, reporter);
    if (source.optional ||
        (source.kind != VolumeSource::Kind::ConfigMap && source.kind != VolumeSource::Kind::Secret))
      return;
    const bool secret = source.kind == VolumeSource::Kind::Secret;
    const KeyValues* object = find(secret, source.name, source.name.at, reporter);
    if (object == nullptr) return;
    for (const KeyToPath& item : source.items) key(*object, secret, source.name, item.key, reporter);
  }

 private:
  static std::string kind(bool secret) { return secret ? "Secret" : "ConfigMap"; }

  static void path(const Text& path, Reporter& reporter) {
    if (may_have_variables(path.value)) return;
    const std::vector<std::string> parts = split(path.value, '/');
    if (path.empty() || parts.front().empty() || std::ranges::find(parts, "..") != parts.end())
      reporter.error(path.at, "invalid path \"" + path.value + "\" of a volume's file",
                     "it is relative and does not contain `..`");
  }

  const KeyValues* find(bool secret, const std::string& name, Position at, Reporter& reporter) const {
    const auto& known = secret ? objects_.secrets : objects_.config_maps;
    if (const auto found = known.find(name); found != known.end()) return &found->second;
    if (name.empty() || may_have_variables(name))
      return nullptr;  // a mistake reported elsewhere; known later
    if (severity_ != Severity::Error && known.empty()) return nullptr;  // all of them live on the cluster
    std::vector<std::string> names;
    for (const auto& [one, object] : known) names.push_back(one);
    std::string hint = did_you_mean(name, names);
    if (hint.empty())
      hint = "pass the file that defines it too: `kiln run FILE FILE…`; loaded: " +
             (names.empty() ? "no " + kind(secret) : join(names, ", "));
    reporter.report(severity_, at, kind(secret) + " \"" + name + "\" is not among the documents loaded",
                    hint);
    return nullptr;
  }

  void key(const KeyValues& object, bool secret, const std::string& name, const Text& key,
           Reporter& reporter) const {
    if (key.empty() || may_have_variables(key.value) || object.values.contains(key.value)) return;
    std::vector<std::string> keys;
    for (const auto& [one, value] : object.values) keys.push_back(one);
    const std::string near = did_you_mean(key.value, keys);
    reporter.report(severity_, key.at, kind(secret) + " \"" + name + "\" has no key \"" + key.value + "\"",
                    !near.empty()  ? near
                    : keys.empty() ? "it is empty"
                                   : "it has: " + join(keys, ", "));
  }

  const ClusterObjects& objects_;
  Severity severity_;
};

template <class T>
bool named_in(const std::vector<T>& list, const std::string& name) {
  return std::ranges::any_of(list, [&](const T& one) { return one.name.value == name; });
}

}  // namespace

void Compiler::check_objects() {
  const ObjectCheck check(*plan_.objects,
                          lenient_.names || request_.preview ? Severity::Warning : Severity::Error);
  for (const WorkspaceBinding& binding : plan_.workspaces)
    if (binding.kind == WorkspaceBinding::Kind::Volume) check.source(binding.source, run_reporter_);
  for (size_t i = 0; i < plan_.tasks.size(); ++i) {
    const PlannedTask& task = plan_.tasks[i];
    const PodTemplate& pod = task.settings->pod_template;
    for (const EnvVar& variable : pod.env) check.variable(variable, run_reporter_);
    for (const Volume& volume : pod.volumes) check.source(volume.source, run_reporter_);
    if (!task.spec || !needs_objects(*task.spec)) continue;
    // With its params in it, as far as they are known before anything ran.
    const TaskSpec spec =
        lenient_.values ? *task.spec : resolve_task(plan_, i, no_facts(), {"run", "uid", "default"}).spec;
    Reporter reporter(catalog_.documents(), task.spec_file, diagnostics_);
    const auto container = [&](const Container& one, const StepAction* action) {
      for (const EnvVar& variable : one.env) {
        if (named_in(pod.env, variable.name)) continue;  // the run's own, checked above
        if (action != nullptr && named_in(action->step.env, variable.name)) {
          Reporter of_action(catalog_.documents(), action->file, diagnostics_);
          check.variable(variable, of_action);
        } else {
          check.variable(variable, reporter);
        }
      }
      for (const EnvFrom& from : one.env_from) check.env_from(from, reporter);
    };
    if (spec.step_template) container(*spec.step_template, nullptr);
    for (const Step& step : spec.steps) container(step, step.action.get());
    for (const Sidecar& sidecar : spec.sidecars) container(sidecar, nullptr);
    for (const Volume& volume : spec.volumes)
      if (!named_in(pod.volumes, volume.name)) check.source(volume.source, reporter);
  }
}

}  // namespace kiln::dag
