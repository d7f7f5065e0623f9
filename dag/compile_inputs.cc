#include "base/error.h"
#include "base/text.h"
#include "dag/compiler.h"
#include "dag/fields.h"
#include "dag/params.h"

namespace kiln::dag {
namespace {

constexpr Duration kDefaultTimeout = std::chrono::hours(1);

// Behind `mine`, what the other list has under other names.
template <class T>
void add_by_name(std::vector<T>& mine, const std::vector<T>& others) {
  std::set<std::string> names;
  for (const T& one : mine) names.insert(one.name.value);
  for (const T& other : others)
    if (!names.contains(other.name.value)) mine.push_back(other);
}

// One task's podTemplate over that of all: variables and volumes by name, other fields as a whole.
void merge_pod_template(PodTemplate& mine, const PodTemplate& base) {
  add_by_name(mine.env, base.env);
  add_by_name(mine.volumes, base.volumes);
  if (mine.security == SecurityContext{}) mine.security = base.security;
  if (mine.image_pull_secrets.empty()) mine.image_pull_secrets = base.image_pull_secrets;
  mine.host_network = mine.host_network || base.host_network;
  if (mine.at.line == 0) mine.at = base.at;
}

}  // namespace

WorkspaceBinding parse_workspace_flag(std::string_view flag) {
  const size_t equals = flag.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == flag.size())
    throw Error(ErrorKind::Usage, "-w takes name=SPEC, got \"" + std::string(flag) + "\"",
                "for example -w source=. or -w cache=claim=npm or -w tmp=emptyDir");
  WorkspaceBinding binding;
  binding.name = {std::string(flag.substr(0, equals)), {}};
  const std::string_view spec = flag.substr(equals + 1);
  const auto prefixed = [&](std::string_view prefix, VolumeSource::Kind kind) {
    if (!spec.starts_with(prefix)) return false;
    binding.kind = WorkspaceBinding::Kind::Volume;
    binding.source.kind = kind;
    binding.source.name.value = spec.substr(prefix.size());
    if (!is_plain_name(binding.source.name.value))
      throw Error(ErrorKind::Usage,
                  "\"" + std::string(spec) + "\" needs a plain name after `" + std::string(prefix) + "`");
    return true;
  };
  if (spec == "emptyDir") {
    binding.kind = WorkspaceBinding::Kind::Volume;
  } else if (!prefixed("claim=", VolumeSource::Kind::PersistentVolumeClaim) &&
             !prefixed("config=", VolumeSource::Kind::ConfigMap) &&
             !prefixed("secret=", VolumeSource::Kind::Secret)) {
    binding.kind = WorkspaceBinding::Kind::HostFolder;
    binding.folder = spec;
  }
  return binding;
}

// The run's params with -p on top.
std::vector<Param> Compiler::given_params() {
  std::vector<Param> given = target_.params;
  std::vector<std::string> declared;
  for (const ParamSpec& spec : target_.spec->params) declared.push_back(spec.name);
  std::set<std::string> seen;
  for (const auto& flag : request_.params) {
    const std::string& name = flag.first;  // not a structured binding: clang 14 captures none
    const std::string& text = flag.second;
    const auto spec =
        std::ranges::find_if(target_.spec->params, [&](const ParamSpec& s) { return s.name.value == name; });
    const bool known = spec != target_.spec->params.end();
    if (!known && std::ranges::none_of(target_.params, [&](const Param& p) { return p.name.value == name; }))
      run_reporter_.warn({},
                         "-p " + name + ": " + std::string(plan_.kind_name()) + " `" + target_.name +
                             "` declares no such param",
                         did_you_mean(name, declared));
    std::optional<ParamValue> value = parse_param_flag(known ? spec->type : ParamType::String, text);
    if (!value) {
      run_reporter_.error(
          {},
          "-p " + name + ": not " + (spec->type == ParamType::Array ? "an array" : "an object") + ": " +
              text.substr(0, 80),
          spec->type == ParamType::Array ? "write it as JSON: -p " + name + "='[\"a\", \"b\"]'"
                                         : "write it as JSON: -p " + name + "='{\"key\": \"value\"}'");
      continue;
    }
    const auto same = std::ranges::find_if(given, [&](const Param& p) { return p.name.value == name; });
    const bool again = !seen.insert(name).second;
    if (same == given.end()) {
      given.push_back({{name, {}}, std::move(*value), {}});
    } else if (again && value->type == ParamType::Array) {
      same->value.items.insert(same->value.items.end(), value->items.begin(), value->items.end());
    } else {
      same->value = std::move(*value);
      same->at = {};
    }
  }
  return given;
}

void Compiler::decide_params() {
  const std::vector<Param> given = given_params();
  std::unordered_map<std::string_view, const ParamSpec*> declared;
  for (const ParamSpec& spec : target_.spec->params) declared.emplace(spec.name.value, &spec);
  for (const Param& param : given)
    if (const auto spec = declared.find(param.name.value); spec != declared.end()) {
      check_value(*spec->second, param, run_reporter_);
      declared.erase(spec);
    }
  for (const ParamSpec& spec : target_.spec->params)
    if (!lenient_.values && declared.contains(spec.name.value))
      check_default_keys(
          spec, spec.default_at, reporter_,
          "add them to the default, or give the param: -p " + spec.name.value + "='{\"key\": \"…\"}'");
  plan_.params = evaluate_params(target_.spec->params, given, {}, [&](const ParamSpec& spec) {
    reporter_.error(spec.default_at, "the default of param `" + spec.name.value + "` depends on itself",
                    "defaults may refer to other params, at most 10 deep and without a cycle");
  });
  pipeline_scope_ = ParamScope(target_.outer_params);
  pipeline_scope_.declare(target_.spec->params);
  for (const Param& param : given)
    if (!pipeline_scope_.contains(param.name.value))
      pipeline_scope_.set(param.name.value, {param.value.type, {}, true});
  set_params(param_values_, plan_.params);
  for (const Param& param : plan_.params)
    if (!lenient_.values || !param.is_default) note_length(pipeline_lengths_, param.name, param.value);
  if (target_.kind == Plan::Kind::Pipeline) check_param_specs(target_.spec->params, reporter_);
  if (target_.kind == Plan::Kind::Pipeline)  // a Task's defaults are checked with its steps
    for (const ParamSpec& spec : target_.spec->params)
      if (spec.default_value)
        for_each_text(*spec.default_value, spec.default_at,
                      [&](std::string_view text, Position at, ArrayUse arrays) {
                        check_pipeline_text(text, at, arrays, reporter_);
                      });
  if (!lenient_.values) report_missing_params();
}

void Compiler::report_missing_params() {
  std::vector<std::string> missing, flags;
  const ParamSpec* first = nullptr;
  for (const ParamSpec& spec : target_.spec->params) {
    if (param_values_.exact({"params", spec.name.value}) != nullptr) continue;
    if (first == nullptr) first = &spec;
    missing.push_back(spec.name);
    flags.push_back("-p " + spec.name.value +
                    (spec.type == ParamType::Array    ? "='[\"…\"]'"
                     : spec.type == ParamType::Object ? "='{\"key\": \"…\"}'"
                                                      : "=…"));
  }
  if (first == nullptr) return;
  const std::string message =
      "missing values for these params which have no default values: [" + list_of(missing, " ") + "]";
  const std::string hint = "add " + list_of(flags, " ");
  if (target_.run_file.empty())
    reporter_.error(first->name.at, message, hint);
  else
    run_reporter_.error(target_.run_at, message, hint);
}

void Compiler::decide_workspaces() {
  std::vector<std::string> declared;
  for (const WorkspaceDeclaration& workspace : target_.spec->workspaces) declared.push_back(workspace.name);
  for (const WorkspaceBinding& binding : request_.workspaces) add_binding(binding);
  for (const WorkspaceBinding& binding : target_.workspaces)
    if (binding_of(binding.name) == nullptr) add_binding(binding);  // -w wins
  for (const WorkspaceDeclaration& workspace : target_.spec->workspaces)
    declared_workspaces_.emplace(workspace.name.value, &workspace);
  for (const WorkspaceBinding& binding : request_.workspaces) {
    if (std::ranges::find(declared, binding.name.value) == declared.end() && request_.within.empty() &&
        std::ranges::none_of(target_.workspaces,
                             [&](const auto& b) { return b.name.value == binding.name.value; }))
      run_reporter_.error({},
                          "-w " + binding.name.value + ": " + std::string(plan_.kind_name()) + " `" +
                              target_.name + "` declares no such workspace",
                          declared.empty() ? "" : "it has: " + join(declared, ", "));
  }
  for (const WorkspaceDeclaration& workspace : target_.spec->workspaces)
    if (!workspace.optional && binding_of(workspace.name) == nullptr) add_binding({.name = workspace.name});
  for (WorkspaceBinding& binding : plan_.workspaces)
    if (binding.kind == WorkspaceBinding::Kind::RunFolder && binding.folder.empty())
      binding.folder = binding.name;
}

void Compiler::decide_timeouts() {
  const Timeouts& given = target_.timeouts;
  plan_.timeout = check_duration(given.pipeline, kDefaultTimeout, run_reporter_);
  plan_.tasks_timeout = check_duration(given.tasks, {}, run_reporter_);
  plan_.finally_timeout = check_duration(given.finally, {}, run_reporter_);
  if (plan_.timeout == Duration{}) return;  // no limit on the whole: the parts say their own
  const std::string whole = " should be <= pipeline duration";
  const std::string hint = "raise timeouts.pipeline, which is 1h when not given";
  bool fits = true;
  for (const auto& [text, duration] :
       {std::pair{&given.tasks, plan_.tasks_timeout}, std::pair{&given.finally, plan_.finally_timeout}}) {
    const bool none = !text->empty() && parse_duration(text->value) == Duration{};
    if (!none && duration <= plan_.timeout) continue;
    fits = false;
    run_reporter_.error(text->at, "invalid value: " + text->value + (none ? " (no timeout)" : "") + whole,
                        hint);
  }
  if (!fits) return;
  if (plan_.tasks_timeout + plan_.finally_timeout > plan_.timeout)
    run_reporter_.error(given.tasks.at, "invalid value: timeouts.tasks + timeouts.finally" + whole, hint);
  if (given.tasks.empty() && !given.finally.empty())
    plan_.tasks_timeout = plan_.timeout - plan_.finally_timeout;
  if (given.finally.empty() && !given.tasks.empty())
    plan_.finally_timeout = plan_.timeout - plan_.tasks_timeout;
}

void Compiler::decide_settings() {
  default_settings_ = std::make_shared<TaskRunSettings>(target_.settings);
  std::set<std::string_view> known;
  for (const auto* tasks : {&target_.spec->tasks, &target_.spec->finally})
    for (const PipelineTask& task : *tasks) known.insert(task.name.value);
  std::set<std::string_view> seen;
  for (const TaskRunSettings& settings : target_.task_run_specs) {
    const Text& name = settings.pipeline_task;
    settings_of_.emplace(name.value, &settings);
    if (name.empty()) continue;
    if (!seen.insert(name.value).second)
      run_reporter_.error(name.at, "expected exactly one, got both: taskRunSpecs for \"" + name.value + "\"",
                          "put both into one item");
    const Duration own = check_duration(settings.timeout, {}, run_reporter_);
    const Duration tasks = target_.timeouts.tasks.empty() ? Duration{} : plan_.tasks_timeout;
    if (own > (tasks > Duration{} ? tasks : plan_.timeout) && plan_.timeout > Duration{})
      run_reporter_.error(settings.timeout.at,
                          "invalid value: " + settings.timeout.value + " should be <= pipeline " +
                              (tasks > Duration{} ? "tasks " : "") + "duration",
                          std::string("raise timeouts.") +
                              (tasks > Duration{} ? "tasks" : "pipeline, which is 1h when not given"));
    if (!known.contains(name.value))
      run_reporter_.error(name.at,
                          "pipelineRun's taskrunSpecs defined wrong taskName: \"" + name.value +
                              "\", does not exist in Pipeline",
                          run_reporter_.choices(name.value, known, "the pipeline"));
  }
}

// stepSpecs and sidecarSpecs name what the Task has.
void Compiler::check_overrides(const PlannedTask& task) {
  if (!task.spec) return;
  const auto check = [&](const std::vector<ContainerOverride>& overrides, const auto& containers,
                         const std::string& kind, const std::string& what) {
    if (overrides.empty()) return;
    std::set<std::string_view> names;
    for (const Container& container : containers) names.insert(container.name.value);
    for (const ContainerOverride& one : overrides)
      if (!one.name.empty() && !names.contains(one.name.value))
        run_reporter_.error(one.name.at,
                            "invalid " + kind + "Override: No " + kind + " named " + one.name.value,
                            names.empty() || names == std::set<std::string_view>{""}
                                ? "give the Task's " + what + " that name, or take it out here"
                                : run_reporter_.choices(one.name.value, names, "the Task"));
  };
  check(task.settings->steps, task.spec->steps, "Step", "step");
  check(task.settings->sidecars, task.spec->sidecars, "Sidecar", "sidecar");
}

// taskRunTemplate, under what taskRunSpecs says of this one task.
void Compiler::decide_task_settings(const PipelineTask& from, PlannedTask& task) {
  task.settings = default_settings_;
  const auto own = settings_of_.find(from.name.value);
  const bool inline_metadata = task.spec && !(task.spec->annotations.empty() && task.spec->labels.empty());
  if (own != settings_of_.end() || inline_metadata) {
    TaskRunSettings settings = own == settings_of_.end() ? target_.settings : *own->second;
    if (settings.service_account.empty()) settings.service_account = target_.settings.service_account;
    merge_pod_template(settings.pod_template, target_.settings.pod_template);
    catalog_.spend(settings.pod_template.env.size() + settings.pod_template.volumes.size());
    if (inline_metadata) {
      settings.annotations.insert(task.spec->annotations.begin(), task.spec->annotations.end());
      settings.labels.insert(task.spec->labels.begin(), task.spec->labels.end());
    }
    task.settings = std::make_shared<TaskRunSettings>(std::move(settings));
  }

  check_overrides(task);

  // taskRunSpecs, then the task's own, then timeouts.tasks, then an hour.
  const bool overridden = !task.settings->timeout.empty();
  Text timeout = overridden ? task.settings->timeout : from.timeout;
  timeout.value = substitute(timeout.value, param_values_);
  const Duration fallback =
      target_.timeouts.tasks.empty() || task.is_finally ? kDefaultTimeout : plan_.tasks_timeout;
  task.timeout = check_duration(timeout, fallback, overridden ? run_reporter_ : reporter_);
}

}  // namespace kiln::dag
