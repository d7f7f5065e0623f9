#include <algorithm>

#include "base/text.h"
#include "dag/compiler.h"

namespace kiln::dag {
namespace {

const std::string& name_of(const ResultSpec& result) {
  return result.name.value;
}

std::string inside(std::string_view written) {  // $(tasks.a.status) → tasks.a.status
  return std::string(written.substr(2, written.size() - 3));
}

// What stands behind `tasks.NAME.`.
enum class Use { Aggregate, Status, Result, MatrixLength, ResultLength, Artifact, Unknown };

Use use_of(const std::vector<std::string>& path) {
  const auto is_status = [](const std::string& word) { return word == "status" || word == "reason"; };
  if (path.size() == 2) return path[1] == "status" ? Use::Aggregate : Use::Unknown;
  if (path.size() == 3 && is_status(path[2])) return Use::Status;
  if (path[2] == "results" && (path.size() == 4 || path.size() == 5)) return Use::Result;
  if (path[2] == "matrix" && path.size() == 4 && path[3] == "length") return Use::MatrixLength;
  if (path[2] == "matrix" && path.size() == 5 && path[4] == "length") return Use::ResultLength;
  if ((path[2] == "outputs" || path[2] == "inputs") && path.size() == 4) return Use::Artifact;
  return Use::Unknown;
}

// `$(tasks.a.result.x)`, `$(tasks.a.x)`.
std::string unknown_use_hint(const std::vector<std::string>& path) {
  const std::string task = "$(tasks." + path[1];
  if (path.size() == 4 && nearest(path[2], std::vector<std::string>{"results"}))
    return "did you mean `" + task + ".results." + path[3] + ")`?";
  if (path.size() == 3 && !nearest(path[2], std::vector<std::string>{"status", "reason", "results"}))
    return "for a result write " + task + ".results." + path[2] + ")";
  return "a task has results.NAME, status, reason, matrix.length, outputs.NAME and inputs.NAME";
}

}  // namespace

const ResultSpec* Compiler::find_result(const std::vector<ResultSpec>& results, const std::string& name) {
  const auto [known, fresh] = results_.try_emplace(&results);
  if (fresh)
    for (const ResultSpec& result : results) known->second.emplace(result.name.value, &result);
  const auto found = known->second.find(name);
  return found == known->second.end() ? nullptr : found->second;
}

void Compiler::need(size_t index, size_t from, std::string result, EdgeReason reason) {
  PlannedTask& task = plan_.tasks[index];
  if (!task.is_finally) add_edge(index, from, std::move(reason));
  ResultUse use{from, std::move(result)};
  if (uses_.insert(use).second) task.uses.push_back(std::move(use));
}

// One `$(tasks.…)` in a task's params, matrix, when, or inline spec.
void Compiler::use_result(size_t index, const Reference& reference, std::string_view written, Position at,
                          EdgeReason::Kind kind, bool in_spec) {
  const auto& path = reference.path;
  const PlannedTask& task = plan_.tasks[index];
  // In an inline spec what is not known stays as it is written, which may be what is wanted.
  const auto complain = [&](std::string message, std::string hint) {
    reporter_.report(in_spec ? Severity::Warning : Severity::Error, reporter_.find(at, written),
                     std::move(message), std::move(hint));
  };
  if (path[0] == "finally") {
    complain("invalid task result reference: results of finally tasks are for the pipeline's results only",
             "finally tasks all run together: none can wait for another");
    return;
  }
  const Use use = use_of(path);
  if ((use == Use::Status || use == Use::Aggregate) && !task.is_finally) {
    complain(
        "pipeline tasks can not refer to execution status of any other pipeline task or aggregate status of "
        "tasks",
        "only `finally` tasks can; use `when` with a result here");
    return;
  }
  if (use == Use::Aggregate) return;
  const auto found = index_.find(path[1]);
  if (found == index_.end()) {
    const auto other = [&](const PlannedTask& one) {
      return one.is_finally || &one == &task ? std::string() : one.name;
    };
    const std::string hint = reporter_.choices(path[1], plan_.tasks, "the pipeline", other);
    if (use == Use::Status)
      complain("pipeline task " + path[1] + " is not defined in the pipeline", hint);
    else if (task.is_finally)
      complain("invalid task result reference, final task has task result reference from a task " + path[1] +
                   " which is not defined in the pipeline",
               hint);
    else
      complain("couldn't add link between " + task.name + " and " + path[1] + ": task " + task.name +
                   " depends on " + path[1] + " but " + path[1] + " wasn't present in Pipeline",
               hint);
    return;
  }
  const PlannedTask& producer = plan_.tasks[found->second];
  if (producer.is_finally) {
    complain("invalid task result reference, " + std::string(task.is_finally ? "final " : "") +
                 "task has task result reference from a final task " + producer.name,
             "finally tasks run last and together: read it from a task under `tasks`");
    return;
  }
  if (use == Use::Status) return;
  if (use == Use::Unknown) {
    complain("non-existent variable in \"" + std::string(written) + "\"", unknown_use_hint(path));
    return;
  }
  if (found->second == index) {
    complain("cycle detected; task \"" + task.name + "\" depends on itself",
             "a task cannot read its own result");
    return;
  }
  if ((use == Use::MatrixLength || use == Use::ResultLength) && !producer.matrix) {
    complain(
        "invalid use of \"" + inside(written) + "\": pipeline task \"" + producer.name + "\" has no matrix",
        "give it a `matrix`, or write the number");
    return;
  }
  if (use == Use::Result && !check_result(producer, reference, written, complain)) return;
  if (use == Use::ResultLength && producer.declared_results() != nullptr &&
      declared_result(producer, path[3], "invalid result reference", complain) == nullptr)
    return;
  const bool named = use == Use::Result || use == Use::ResultLength;
  const std::string detail = named                      ? path[3]
                             : use == Use::MatrixLength ? "matrix.length"
                                                        : path[2] + "." + path[3];
  need(index, found->second, named ? path[3] : "", {kind, detail});
}

// One of the results that the producer is known to declare; complains when it is none of them.
const ResultSpec* Compiler::declared_result(const PlannedTask& producer, const std::string& result,
                                            std::string_view invalid, const Complaint& complain) {
  const std::vector<ResultSpec>& declared = *producer.declared_results();
  const ResultSpec* spec = find_result(declared, result);
  if (spec == nullptr)
    complain(std::string(invalid) + ": \"" + result +
                 "\" is not a named result returned by pipeline task \"" + producer.name + "\"",
             declared.empty() ? "`" + producer.name + "` declares no results: add it under its `results`"
                              : reporter_.choices(result, declared, "`" + producer.name + "`", name_of));
  return spec;
}

// Whether the producer declares the result, and of the type that the reference wants.
bool Compiler::check_result(const PlannedTask& producer, const Reference& reference, std::string_view written,
                            const Complaint& complain) {
  const std::vector<ResultSpec>* declared = producer.declared_results();
  if (declared != nullptr) {
    const std::string& result = reference.path[3];
    const ResultSpec* spec = declared_result(producer, result, "invalid result reference", complain);
    if (spec == nullptr) return false;
    const std::string of_task =
        "invalid result reference: result \"" + result + "\" of task \"" + producer.name + "\"";
    if (producer.matrix && spec->type != ParamType::String) {
      complain("Matrixed PipelineTasks emitting results must have an underlying type string, but result " +
                   result + " has type " + std::string(to_string(spec->type)) + " in pipelineTask " +
                   producer.name,
               "give it `type: string`: the results of all combinations become the array");
      return false;
    }
    if (!producer.matrix && reference.suffix == Reference::Suffix::Index && spec->type != ParamType::Array)
      complain(of_task + " is not an array", "it is a " + std::string(to_string(spec->type)) +
                                                 ": leave out the [" + std::to_string(reference.index) + "]");
    if (reference.path.size() > 4) {
      if (spec->type != ParamType::Object)
        complain(of_task + " is not an object", "it is a " + std::string(to_string(spec->type)) +
                                                    ": leave out `." + reference.path[4] + "`");
      else if (!spec->properties.empty() && !is_among(spec->properties, reference.path[4]))
        complain(of_task + " has no property \"" + reference.path[4] + "\"",
                 reporter_.choices(reference.path[4], spec->properties, "it"));
    }
  }
  if (producer.matrix && reference.suffix != Reference::Suffix::Star) {
    const std::string whole = inside(written);
    complain(
        "A matrixed pipelineTask can only be consumed in aggregate using [*] notation, but is currently "
        "set to " +
            whole,
        "write $(" + whole.substr(0, whole.find('[')) + "[*])");
    return false;
  }
  return true;
}

void Compiler::check_results() {
  for (const ResultSpec& result : target_.spec->results)
    if (result.value)
      check_pipeline_result(result);
    else
      reporter_.error(result.name.at, "pipeline result `" + result.name.value + "` needs a `value`",
                      "it looks like $(tasks.NAME.results.RESULT)");
  plan_.results = target_.spec->results;
}

void Compiler::check_pipeline_result(const ResultSpec& result) {
  bool refers = false;
  for_each_text(*result.value, result.value_at, [&](std::string_view text, Position at, ArrayUse arrays) {
    if (!may_have_variables(text)) return;
    reporter_.check_params(text, at, pipeline_scope_, arrays);
    for (const Variable& variable : find_variables(text)) {
      const auto& path = variable.reference.path;
      if (path[0] != "tasks" && path[0] != "finally") continue;
      refers = true;
      const std::string_view written = text.substr(variable.begin, variable.end - variable.begin);
      const auto complain = [&](std::string message, std::string hint) {
        reporter_.error(reporter_.find(at, written), std::move(message), std::move(hint));
      };
      const auto found = index_.find(path[1]);
      if (found == index_.end() || plan_.tasks[found->second].is_finally != (path[0] == "finally")) {
        const bool other = found != index_.end();
        complain(
            "invalid pipeline result reference: referencing a nonexistent task: " + path[1] +
                (other ? " is not among `" + path[0] + "`" : ""),
            other ? "write $(" + std::string(path[0] == "tasks" ? "finally." : "tasks.") +
                        inside(written).substr(path[0].size() + 1) + ")"
                  : reporter_.choices(path[1], plan_.tasks, "`" + path[0] + "`", [&](const PlannedTask& one) {
                      return one.is_finally == (path[0] == "finally") ? one.name : std::string();
                    }));
        continue;
      }
      const PlannedTask& task = plan_.tasks[found->second];
      if (use_of(path) == Use::Unknown)
        complain("expected all of the expressions [" + inside(written) +
                     "] to be result expressions but only [] were",
                 "a result has a name and at most one key: $(tasks.NAME.results.RESULT.KEY)");
      if (use_of(path) != Use::Result || task.declared_results() == nullptr) continue;
      declared_result(task, path[3], "invalid pipeline result reference", complain);
    }
  });
  if (!refers)
    reporter_.error(
        result.value_at,
        "expected pipeline results to be task result expressions but no expressions were found: `" +
            result.name.value + "`",
        "it looks like $(tasks.NAME.results.RESULT)");
}

}  // namespace kiln::dag
