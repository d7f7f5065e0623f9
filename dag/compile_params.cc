#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/text.h"
#include "dag/compiler.h"
#include "dag/matrix.h"

namespace kiln::dag {
namespace {

using Indexes = std::unordered_map<std::string_view, size_t>;

Indexes indexes_of(const std::vector<Param>& params) {
  Indexes out;
  for (size_t i = 0; i < params.size(); ++i) out.emplace(params[i].name.value, i);
  return out;
}

std::set<std::string_view> names_in(const Matrix& matrix) {
  std::set<std::string_view> out;
  for (const Param& param : matrix.params) out.insert(param.name.value);
  for (const MatrixInclude& include : matrix.include)
    for (const Param& param : include.params) out.insert(param.name.value);
  return out;
}

// For Catalog::spend: each TaskRun works out the params of all of them.
size_t work_of(const Matrix& matrix, size_t passed) {
  size_t runs = 1;
  for (const Param& param : matrix.params)
    runs = std::min(kMostCombinations, runs * std::max<size_t>(1, param.value.items.size()));
  return runs * runs * (matrix.params.size() + matrix.include.size() / 8) / 64 + runs * passed / 8;
}

std::string dotted(const std::vector<std::string>& path, size_t from) {
  std::string out;
  for (size_t i = from; i < path.size(); ++i) out += (out.empty() ? "" : ".") + path[i];
  return out;
}

const std::vector<std::string> kRoots{"params", "tasks", "finally", "context", "workspaces", "results"};

std::string prefix_hint(const std::string& root, const std::string& body) {
  // "param" and "task" are the slips that people make.
  const auto near = near_name(root, kRoots);
  return near ? "did you mean `$(" + *near + body.substr(root.size()) + ")`?"
              : "write the value itself, or take it from a param: $(params.NAME)";
}

std::string context_hint(const std::string& name, const std::vector<std::string>& known) {
  const std::optional<std::string> near = nearest(name, known);
  return near ? "did you mean `$(context." + *near + ")`?" : "context has: " + join(known, ", ");
}

// `$(HOME)`: what a shell would take for a command, and Tekton for a mistake.
void check_prefixes(std::string_view text, Position at, Reporter& reporter) {
  size_t begin = 0;
  while ((begin = text.find("$(", begin)) != std::string_view::npos) {
    const size_t end = text.find_first_not_of(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-[]*'\"", begin + 2);
    if (end == std::string_view::npos) return;
    if (text[end] == ')' && end > begin + 2) {
      const std::string written(text.substr(begin, end + 1 - begin));
      const std::string body = written.substr(2, written.size() - 3);
      const std::string root = body.substr(0, body.find_first_of(".["));
      if (std::ranges::find(kRoots, root) == kRoots.end() && body.find_first_of("'\"") == std::string::npos)
        reporter.error(reporter.find(at, written),
                       "invalid variable reference \"" + written +
                           "\", must start with a valid prefix: params, tasks, finally, context, workspaces, "
                           "or results; if you meant a shell variable, use ${VAR} instead",
                       prefix_hint(root, body));
    }
    begin = end;
  }
}

}  // namespace

std::optional<ParamType> Compiler::type_of(const ParamValue& value) const {
  if (value.type != ParamType::String) return value.type;
  const std::vector<Variable> variables = find_variables(value.text);
  if (variables.size() != 1 || variables[0].begin != 0 || variables[0].end != value.text.size())
    return ParamType::String;
  const Reference& reference = variables[0].reference;
  if (reference.path[0] == "tasks") return std::nullopt;  // the producer decides: see check_result_type
  if (reference.path[0] != "params" || reference.path.size() != 2 ||
      reference.suffix == Reference::Suffix::Index)
    return ParamType::String;
  const KnownParam* known = pipeline_scope_.find(reference.path[1]);
  if (known == nullptr || known->any_key) return std::nullopt;
  return known->type;
}

void Compiler::check_task_params(const PipelineTask& from, PlannedTask& task, const Signature& signature) {
  for (const Param& param : from.params) {
    for_each_text(param, [&](std::string_view text, Position at, ArrayUse arrays) {
      check_pipeline_text(text, at, arrays, reporter_);
    });
    task.params.push_back({param.name, substitute_value(param.value, param_values_), param.at});
  }
  if (signature.params == nullptr) return;
  const Indexes given = indexes_of(from.params);
  const std::set<std::string_view> from_matrix =
      from.matrix ? names_in(*from.matrix) : std::set<std::string_view>();
  std::vector<std::string> missing;
  for (const ParamSpec& spec : *signature.params) {
    const std::string& name = spec.name.value;
    if (const auto place = given.find(name); place != given.end())
      check_given(from.params[place->second], task.params[place->second], spec);
    else if (from_matrix.contains(name) || (task.inline_spec && pipeline_scope_.contains(name)))
      continue;
    else if (!spec.default_value)
      missing.push_back(name);
    else if (target_.kind == Plan::Kind::Pipeline)
      check_default_keys(spec, task.at, reporter_,
                         "pass it under `params`: its default lacks keys that the Task asks for");
  }
  report_params(from, task, signature, std::move(missing));
}

// Params that are missing, and those that nothing declares. One that is passed under a name that is nearly
// its own is both: one mistake, said where it is made.
void Compiler::report_params(const PipelineTask& from, const PlannedTask& task, const Signature& signature,
                             std::vector<std::string> missing) {
  const std::string problem =
      "pipeline task \"" + task.name + "\": missing values for these params which have no default values: [";
  std::set<std::string_view> declared;
  for (const ParamSpec& spec : *signature.params) declared.insert(spec.name.value);
  std::vector<const Param*> unknown;
  std::vector<std::string> names;
  for (const Param& param : from.params)
    if (!task.inline_spec && !declared.contains(param.name.value)) {
      unknown.push_back(&param);
      names.push_back(param.name.value);
    }
  const auto slips = reporter_.slips(names, missing);
  std::set<std::string_view> renamed;
  for (const auto& [meant, given] : slips) {
    renamed.insert(given);
    const Param& param =
        **std::ranges::find(unknown, given, [](const Param* one) { return one->name.value; });
    reporter_.error(param.name.at, problem + meant + "]; there is no param \"" + given + "\"",
                    "did you mean `" + meant + "`?");
  }
  std::erase_if(missing, [&](const std::string& name) { return slips.contains(name); });
  if (!missing.empty())
    reporter_.error(task.at, problem + list_of(missing, " ") + "]",
                    "add under its `params`: {name: " + missing.front() + ", value: …}");
  for (const Param* param : unknown)
    if (!renamed.contains(param->name.value))
      reporter_.warn(param->name.at, signature.what + " declares no param `" + param->name.value + "`",
                     reporter_.suggest(param->name.value, declared));
}

// One param that both the Task declares and the pipeline passes: as written, and with the pipeline's put in.
void Compiler::check_given(const Param& given, const Param& value, const ParamSpec& spec) {
  const auto type = type_of(given.value);
  if (!type) return;
  if (*type != spec.type)
    reporter_.error(
        given.at,
        "param types don't match the user-specified type: [" + spec.name.value + "]: Task declares " +
            std::string(to_string(spec.type)) + ", " + std::string(to_string(*type)) + " is given",
        *type == ParamType::String && spec.type == ParamType::Array ? "write a list: [\"…\"]"
        : spec.type == ParamType::Object                            ? "write a mapping: {KEY: …}"
                                         : "write a string, or declare the Task's param with `type: " +
                                               std::string(to_string(*type)) + "`");
  else if (value.value.type == spec.type && target_.kind == Plan::Kind::Pipeline)
    check_value(spec, value, reporter_);
}

void Compiler::check_matrix(const PipelineTask& from, PlannedTask& task) {
  if (!from.matrix) return;
  const Matrix& matrix = *from.matrix;
  const auto check_text = [&](std::string_view text, Position at, ArrayUse arrays) {
    check_pipeline_text(text, at, arrays, reporter_);
  };
  const Indexes given = indexes_of(from.params);
  const auto is_also_param = [&](const Param& param) {
    if (given.contains(param.name.value))
      reporter_.error(param.name.at,
                      "expected exactly one, got both: matrix[" + param.name.value + "], params[" +
                          param.name.value + "]",
                      "give `" + param.name.value + "` in one of them");
  };
  for (const Param& param : matrix.params) {
    for_each_text(param, check_text);
    is_also_param(param);
    const std::optional<ParamType> type = type_of(param.value);
    if (type && *type != ParamType::Array)
      reporter_.error(param.at,
                      "parameters of type array only are allowed, but param \"" + param.name.value +
                          "\" has type \"" + std::string(to_string(*type)) + "\" in pipelineTask \"" +
                          task.name + "\"",
                      "a matrix takes a list: one TaskRun for each item");
  }
  for (const MatrixInclude& include : matrix.include)
    for (const Param& param : include.params) {
      for_each_text(param.value, param.at, [&](std::string_view text, Position at, ArrayUse) {
        check_text(text, at, ArrayUse::Never);
      });
      is_also_param(param);
      if (param.value.type != ParamType::String)
        reporter_.error(param.at,
                        "parameters of type string only are allowed, but param \"" + param.name.value +
                            "\" has type \"" + std::string(to_string(param.value.type)) +
                            "\" in pipelineTask \"" + task.name + "\"",
                        "an include adds one combination: write one string");
    }
  task.matrix = matrix;
  substitute_matrix(*task.matrix, param_values_);
  catalog_.spend(work_of(*task.matrix, from.params.size()));
  check_matrix_values(matrix, task);
  const std::optional<size_t> count = count_combinations(*task.matrix);
  if (count && *count > kMostCombinations)
    reporter_.error(matrix.at,
                    "expected 0 <= " + std::to_string(*count) + " <= " + std::to_string(kMostCombinations) +
                        ": matrix of \"" + task.name + "\"",
                    "that many TaskRuns would start; split the task");
}

void Compiler::check_when(const PipelineTask& from, PlannedTask& task) {
  for (const When& when : from.when) {
    for_each_text(when, [&](std::string_view text, Position at, ArrayUse arrays) {
      check_pipeline_text(text, at, arrays, reporter_);
    });
    check_cel(when, reporter_);
  }
  task.when = from.when;
  for (When& when : task.when) substitute_when(when, param_values_);
}

// Texts of the pipeline itself: only what a pipeline knows may be referred to.
void Compiler::check_pipeline_text(std::string_view text, Position at, ArrayUse arrays, Reporter& reporter) {
  if (text.find('$') == std::string_view::npos) return;
  check_prefixes(text, at, reporter);
  if (text.find("${") != std::string_view::npos) check_slips(text, at, pipeline_scope_, reporter);
  if (!may_have_variables(text)) return;
  reporter.check_params(text, at, pipeline_scope_, arrays);
  check_past_end(text, at, reporter);
  static const std::vector<std::string> kContext{
      "pipelineRun.name", "pipelineRun.namespace", "pipelineRun.uid", "pipeline.name", "pipelineTask.retries",
      "taskRun.name",     "taskRun.namespace",     "taskRun.uid",     "task.name",     "task.retry-count"};
  for (const Variable& variable : find_variables(text)) {
    const auto& path = variable.reference.path;
    if (path[0] != "context") continue;
    const std::string name = dotted(path, 1);
    const std::string written(text.substr(variable.begin, variable.end - variable.begin));
    if (std::ranges::find(kContext, name) == kContext.end())
      reporter.error(reporter.find(at, written), "non-existent variable in \"" + written + "\"",
                     context_hint(name, kContext));
  }
}

}  // namespace kiln::dag
