#include "base/error.h"
#include "base/text.h"
#include "dag/compiler.h"
#include "dag/params.h"

namespace kiln::dag {
namespace {

constexpr Duration kDefaultTimeout = std::chrono::hours(1);

}  // namespace

WorkspaceBinding parse_workspace_flag(std::string_view flag) {
  const size_t equals = flag.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == flag.size())
    throw Error(ErrorKind::Usage, "-w takes name=SPEC, got \"" + std::string(flag) + "\"",
                "for example -w source=. or -w cache=claim=npm or -w tmp=emptyDir");
  WorkspaceBinding binding;
  binding.name = {std::string(flag.substr(0, equals)), {}};
  const std::string_view spec = flag.substr(equals + 1);
  const auto prefixed = [&](std::string_view prefix, WorkspaceBinding::Kind kind) {
    if (!spec.starts_with(prefix)) return false;
    binding.kind = kind;
    binding.source = spec.substr(prefix.size());
    if (binding.source.empty() || binding.source.find('/') != std::string::npos ||
        binding.source.front() == '.')
      throw Error(ErrorKind::Usage,
                  "\"" + std::string(spec) + "\" needs a plain name after `" + std::string(prefix) + "`");
    return true;
  };
  if (spec == "emptyDir") {
    binding.kind = WorkspaceBinding::Kind::EmptyDir;
  } else if (!prefixed("claim=", WorkspaceBinding::Kind::Claim) &&
             !prefixed("config=", WorkspaceBinding::Kind::ConfigMap) &&
             !prefixed("secret=", WorkspaceBinding::Kind::Secret)) {
    binding.kind = WorkspaceBinding::Kind::HostFolder;
    binding.source = spec;
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

void Compiler::check_value(const ParamSpec& spec, const Param& given, Reporter& reporter) {
  if (given.value.type != spec.type) {
    reporter.error(given.at,
                   "param types don't match the user-specified type: [" + spec.name.value +
                       "]: " + std::string(to_string(spec.type)) + " is declared, " +
                       std::string(to_string(given.value.type)) + " is given",
                   spec.type == ParamType::Array ? "an array is a list: [\"…\"]" : "");
    return;
  }
  if (!spec.enumeration.empty() && !may_have_variables(given.value.text) &&
      std::ranges::find(spec.enumeration, given.value.text) == spec.enumeration.end())
    reporter.error(given.at,
                   "param `" + spec.name.value + "` value: " + given.value.text + " is not in the enum list",
                   "one of: " + join(spec.enumeration, ", "));
  if (spec.type == ParamType::Object)
    for (const std::string& key : spec.properties)
      if (!given.value.fields.contains(key) &&
          !(spec.default_value && spec.default_value->fields.contains(key)))
        reporter.error(given.at,
                       "missing keys for these params which are required in ParamSpec's properties map[" +
                           spec.name.value + ":[" + key + "]]");
}

void Compiler::decide_params() {
  const std::vector<Param> given = given_params();
  for (const Param& param : given)
    for (const ParamSpec& spec : target_.spec->params)
      if (spec.name.value == param.name.value) check_value(spec, param, run_reporter_);
  plan_.params = evaluate_params(target_.spec->params, given, {}, [&](const ParamSpec& spec) {
    reporter_.error(spec.default_at, "the default of param `" + spec.name.value + "` depends on itself",
                    "defaults may refer to other params, at most 10 deep and without a cycle");
  });
  declare(pipeline_scope_, target_.spec->params);
  for (const Param& param : given)
    if (!pipeline_scope_.contains(param.name.value))
      pipeline_scope_[param.name.value] = {param.value.type, {}, true};
  set_params(param_values_, plan_.params);
  if (target_.kind == Plan::Kind::Pipeline)  // a Task's defaults are checked with its steps
    for (const ParamSpec& spec : target_.spec->params)
      if (spec.default_value)
        for_each_text(Param{spec.name, *spec.default_value, spec.default_at},
                      [&](std::string_view text, Position at, ArrayUse arrays) {
                        check_pipeline_text(text, at, arrays, reporter_);
                      });
  if (lenient_) return;

  std::vector<std::string> missing, flags;
  for (const ParamSpec& spec : target_.spec->params) {
    if (std::ranges::any_of(plan_.params, [&](const Param& p) { return p.name.value == spec.name.value; }))
      continue;
    missing.push_back(spec.name);
    flags.push_back("-p " + spec.name.value +
                    (spec.type == ParamType::Array    ? "='[\"…\"]'"
                     : spec.type == ParamType::Object ? "='{\"key\": \"…\"}'"
                                                      : "=…"));
  }
  if (missing.empty()) return;
  const std::string message =
      "missing values for these params which have no default values: [" + join(missing, " ") + "]";
  const std::string hint = "add " + join(flags, " ");
  if (target_.run_file.empty()) {
    const auto first = std::ranges::find_if(target_.spec->params,
                                            [&](const ParamSpec& s) { return s.name.value == missing[0]; });
    reporter_.error(first->name.at, message, hint);
  } else {
    run_reporter_.error(target_.run_at, message, hint);
  }
}

void Compiler::decide_workspaces() {
  std::vector<std::string> declared;
  for (const WorkspaceDeclaration& workspace : target_.spec->workspaces) declared.push_back(workspace.name);
  for (const WorkspaceBinding& binding : request_.workspaces) plan_.workspaces.push_back(binding);
  const auto bound = [&](const std::string& name) {
    return std::ranges::any_of(plan_.workspaces, [&](const auto& b) { return b.name.value == name; });
  };
  for (const WorkspaceBinding& binding : target_.workspaces) {
    if (bound(binding.name)) continue;  // -w wins
    if (!lenient_ &&
        (binding.kind == WorkspaceBinding::Kind::ConfigMap ||
         binding.kind == WorkspaceBinding::Kind::Secret || binding.kind == WorkspaceBinding::Kind::Other))
      run_reporter_.error(binding.name.at, "a workspace from this kind of volume cannot be run yet",
                          "bind a folder instead: -w " + binding.name.value + "=DIR");
    plan_.workspaces.push_back(binding);
  }
  for (const WorkspaceBinding& binding : request_.workspaces) {
    if (std::ranges::find(declared, binding.name.value) == declared.end() &&
        std::ranges::none_of(target_.workspaces,
                             [&](const auto& b) { return b.name.value == binding.name.value; }))
      run_reporter_.error({},
                          "-w " + binding.name.value + ": " + std::string(plan_.kind_name()) + " `" +
                              target_.name + "` declares no such workspace",
                          declared.empty() ? "" : "it has: " + join(declared, ", "));
    if (binding.kind == WorkspaceBinding::Kind::ConfigMap || binding.kind == WorkspaceBinding::Kind::Secret)
      run_reporter_.error({}, "-w " + binding.name.value + ": config and secret workspaces cannot be run yet",
                          "bind a folder instead: -w " + binding.name.value + "=DIR");
  }
  for (const WorkspaceDeclaration& workspace : target_.spec->workspaces)
    if (!workspace.optional && !bound(workspace.name))
      plan_.workspaces.push_back({.name = workspace.name, .kind = WorkspaceBinding::Kind::RunFolder});
}

void Compiler::decide_timeouts() {
  const Timeouts& given = target_.timeouts;
  plan_.timeout = check_duration(given.pipeline, kDefaultTimeout, run_reporter_);
  plan_.tasks_timeout = check_duration(given.tasks, {}, run_reporter_);
  plan_.finally_timeout = check_duration(given.finally, {}, run_reporter_);
  if (plan_.timeout == Duration{}) return;  // no limit on the whole: the parts say their own
  if (plan_.tasks_timeout + plan_.finally_timeout > plan_.timeout) {
    const Text& at = given.tasks.empty() ? given.finally : given.tasks;
    run_reporter_.error(at.at,
                        "invalid value: timeouts.tasks + timeouts.finally should be <= pipeline duration",
                        "raise timeouts.pipeline, which is 1h when not given");
  }
  if (given.tasks.empty() && !given.finally.empty())
    plan_.tasks_timeout = plan_.timeout - plan_.finally_timeout;
  if (given.finally.empty() && !given.tasks.empty())
    plan_.finally_timeout = plan_.timeout - plan_.tasks_timeout;
}

}  // namespace kiln::dag
