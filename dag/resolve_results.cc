// What Tasks and Pipelines leave: the results of a Task's files, and the Pipeline's made of them.
#include <algorithm>

#include "dag/params.h"
#include "dag/resolve.h"
#include "dag/run_variables.h"
#include "dag/texts.h"

namespace kiln::dag {
namespace {

// A Pipeline's results are made of what tasks left that did not fail: what a failed one wrote may be wrong.
class FactsOfSuccesses final : public RunFacts {
 public:
  explicit FactsOfSuccesses(const RunFacts& all) : all_(all) {}
  const ParamValue* result(size_t task, std::string_view name) const override {
    return status(task) == "Failed" ? all_.result_default(task, name) : all_.result(task, name);
  }
  std::string_view status(size_t task) const override { return all_.status(task); }
  std::string_view reason(size_t task) const override { return all_.reason(task); }
  std::string_view aggregate_status() const override { return all_.aggregate_status(); }
  std::optional<size_t> matrix_length(size_t task) const override { return all_.matrix_length(task); }
  std::optional<std::string> artifact(size_t task, std::string_view kind,
                                      std::string_view name) const override {
    return all_.artifact(task, kind, name);
  }

 private:
  const RunFacts& all_;
};

// The tasks that a result of the pipeline wants something of that is not there; adds to `variables` what is.
std::vector<std::string> missing_in(const ResultSpec& result, const RunVariables& run, Variables& variables) {
  std::vector<std::string> tasks;
  for_each_text(*result.value, {}, [&](std::string_view text, Position, ArrayUse) {
    run.add_facts(variables, text);
    for (const Variable& variable : find_variables(text)) {
      const auto& path = variable.reference.path;
      if ((path[0] == "tasks" || path[0] == "finally") && !variables.find(variable.reference))
        tasks.push_back(path[1]);
    }
  });
  return tasks;
}

}  // namespace

std::vector<std::pair<std::string, ParamValue>> resolve_results(const Plan& plan, const RunFacts& facts,
                                                                const RunContext& context) {
  std::vector<std::pair<std::string, ParamValue>> out;
  if (plan.results.empty()) return out;
  Variables params;
  set_params(params, plan.params);
  const FactsOfSuccesses successes(facts);
  const RunVariables run(plan, 0, successes, context);
  for (const ResultSpec& result : plan.results) {
    if (!result.value) continue;
    Variables variables = run.contexts();
    if (missing_in(result, run, variables).empty())
      out.emplace_back(result.name, substitute_value(substitute_value(*result.value, params), variables));
  }
  return out;
}

std::vector<LostResult> lost_results(const Plan& plan, const RunFacts& facts, const RunContext& context) {
  std::vector<LostResult> out;
  if (plan.results.empty()) return out;
  const RunVariables run(plan, 0, facts, context);
  for (const ResultSpec& result : plan.results) {
    if (!result.value) continue;
    Variables variables = run.contexts();
    LostResult lost{result.name, {}};
    for (const std::string& name : missing_in(result, run, variables))
      if (const auto task = plan.index.find(name);
          task != plan.index.end() && facts.status(task->second) == "Succeeded")
        lost.tasks.push_back(task->second);
    if (!lost.tasks.empty()) out.push_back(std::move(lost));
  }
  return out;
}

std::optional<ParamValue> parse_result(ParamType type, std::string_view bytes) {
  if (type == ParamType::String) return ParamValue::string(std::string(bytes));
  return value_from_json(type, bytes);
}

namespace {

// Of a text that is not what was declared.
std::string_view type_of(std::string_view bytes) {
  for (const ParamType type : {ParamType::Array, ParamType::Object})
    if (value_from_json(type, bytes)) return to_string(type);
  return to_string(ParamType::String);
}

}  // namespace

std::string results_problem(const std::vector<ResultSpec>& declared,
                            const std::map<std::string, std::string>& results) {
  std::map<std::string, std::string> wrong_types, missing_keys;
  for (const ResultSpec& spec : declared) {
    const auto bytes = results.find(spec.name.value);
    if (bytes == results.end()) continue;
    const std::optional<ParamValue> value = parse_result(spec.type, bytes->second);
    if (!value) {
      wrong_types[spec.name] = "task result is expected to be \"" + std::string(to_string(spec.type)) +
                               "\" type but was initialized to a different type \"" +
                               std::string(type_of(bytes->second)) + "\"";
      continue;
    }
    for (const std::string& key : spec.properties)
      if (value->type == ParamType::Object && !value->fields.contains(key)) {
        std::string& keys = missing_keys[spec.name];
        keys += (keys.empty() ? "" : " ") + key;
      }
  }
  std::string out;
  for (const auto& [name, problem] : wrong_types)
    out += (out.empty() ? " \"" : ", \"") + name + "\": " + problem;
  if (!out.empty())
    return "Provided results don't match declared results; may be invalid JSON or missing result "
           "declaration: " +
           out;
  for (const auto& [name, keys] : missing_keys) out += (out.empty() ? "" : " ") + name + ":[" + keys + "]";
  return out.empty() ? ""
                     : "missing keys for these results which are required in TaskResult's properties map[" +
                           out + "]";
}

}  // namespace kiln::dag
