#include <algorithm>
#include <queue>

#include "base/text.h"
#include "dag/compiler.h"

namespace kiln::dag {

std::string_view to_string(EdgeReason::Kind kind) {
  switch (kind) {
    case EdgeReason::Kind::RunAfter:
      return "runAfter";
    case EdgeReason::Kind::Result:
      return "result";
    case EdgeReason::Kind::When:
      return "when";
    case EdgeReason::Kind::Finally:
      return "finally";
    case EdgeReason::Kind::Workspace:
      return "workspace";
  }
  return "";
}

void Compiler::add_edge(size_t index, size_t from, EdgeReason reason) {
  std::vector<Edge>& needs = plan_.tasks[index].needs;
  auto edge = std::ranges::find(needs, from, &Edge::from);
  if (edge == needs.end()) edge = needs.insert(needs.end(), Edge{from, {}});
  if (std::ranges::find(edge->reasons, reason) == edge->reasons.end())
    edge->reasons.push_back(std::move(reason));
}

// One `$(tasks.…)` in a task's params, when, or inline spec.
void Compiler::use_result(size_t index, const Reference& reference, std::string_view written, Position at,
                          EdgeReason::Kind kind, bool required) {
  const auto& path = reference.path;
  PlannedTask& task = plan_.tasks[index];
  const auto complain = [&](std::string message, std::string hint = {}) {
    reporter_.error(reporter_.find(at, written), std::move(message), std::move(hint));
  };
  if (path[0] == "finally") {
    complain("invalid task result reference: results of finally tasks are for the pipeline's results only");
    return;
  }
  const bool aggregate = path.size() == 2 && (path[1] == "status" || path[1] == "reason");
  const bool status = aggregate || (path.size() == 3 && (path[2] == "status" || path[2] == "reason"));
  if (status && !task.is_finally) {
    complain(
        "pipeline tasks can not refer to execution status of any other pipeline task or aggregate status of "
        "tasks",
        "only `finally` tasks can; use `when` with a result here");
    return;
  }
  if (aggregate) return;
  const auto found = index_.find(path[1]);
  if (found == index_.end()) {
    std::vector<std::string> known;
    for (const PlannedTask& other : plan_.tasks) known.push_back(other.name);
    complain("invalid result reference: pipeline task " + path[1] + " is not defined in the pipeline",
             did_you_mean(path[1], known));
    return;
  }
  const PlannedTask& producer = plan_.tasks[found->second];
  if (producer.is_finally) {
    complain("invalid task result reference, " + std::string(task.is_finally ? "final " : "") +
             "task has task result reference from a final task " + producer.name);
    return;
  }
  if (status) return;
  if (path.size() < 4 || path[2] != "results") return;  // matrix.length, outputs, inputs: not of this version
  const std::string& result = path[3];
  if (producer.spec) {
    std::vector<std::string> declared;
    for (const ResultSpec& spec : producer.spec->results) declared.push_back(spec.name);
    const auto spec = std::ranges::find_if(producer.spec->results,
                                           [&](const ResultSpec& r) { return r.name.value == result; });
    if (spec == producer.spec->results.end()) {
      complain("invalid result reference: \"" + result +
                   "\" is not a named result returned by pipeline task \"" + producer.name + "\"",
               declared.empty() ? "Task `" + producer.name + "` declares no results"
                                : did_you_mean(result, declared));
      return;
    }
    const bool indexed = reference.suffix == Reference::Suffix::Index;
    if (indexed && spec->type != ParamType::Array)
      complain("invalid result reference: result \"" + result + "\" of task \"" + producer.name +
               "\" is not an array");
    if (path.size() > 4 && spec->type != ParamType::Object)
      complain("invalid result reference: result \"" + result + "\" of task \"" + producer.name +
               "\" is not an object");
  }
  if (found->second == index) {
    complain("cycle detected; task \"" + task.name + "\" depends on itself",
             "a task cannot read its own result");
    return;
  }
  if (required) {
    const ResultUse use{found->second, result};
    if (std::ranges::find(task.uses, use) == task.uses.end()) task.uses.push_back(use);
  }
  if (!task.is_finally) add_edge(index, found->second, {kind, result});
}

void Compiler::connect_task(size_t index, const PipelineTask& from) {
  for (const Text& name : from.run_after) {
    if (plan_.tasks[index].is_finally) break;
    const auto found = index_.find(name.value);
    if (found == index_.end() || plan_.tasks[found->second].is_finally) {
      std::vector<std::string> known;
      for (size_t i = 0; i < plan_.dag_size; ++i)
        if (i != index) known.push_back(plan_.tasks[i].name);
      reporter_.error(
          name.at,
          "couldn't add link between " + from.name.value + " and " + name.value + ": task " +
              from.name.value + " depends on " + name.value + " but " + name.value +
              " wasn't present in Pipeline",
          found != index_.end() ? "`" + name.value + "` is a finally task" : did_you_mean(name.value, known));
      continue;
    }
    if (found->second == index) {
      reporter_.error(name.at, "cycle detected; task \"" + from.name.value + "\" depends on itself");
      continue;
    }
    add_edge(index, found->second, {EdgeReason::Kind::RunAfter, ""});
  }
  const auto visit = [&](EdgeReason::Kind kind, bool required) {
    return [this, index, kind, required](std::string_view text, Position at, ArrayUse) {
      if (!may_have_variables(text)) return;
      for (const Variable& variable : find_variables(text)) {
        const std::string& root = variable.reference.path[0];
        if (root == "tasks" || root == "finally")
          use_result(index, variable.reference, text.substr(variable.begin, variable.end - variable.begin),
                     at, kind, required);
      }
    };
  };
  for (const Param& param : from.params) for_each_text(param, visit(EdgeReason::Kind::Result, true));
  for (const When& when : from.when) {
    const auto on_when = visit(EdgeReason::Kind::When, true);
    on_when(when.input.value, when.input.at, ArrayUse::Never);
    for (const Text& value : when.values) on_when(value.value, value.at, ArrayUse::Alone);
  }
  if (from.task_spec && plan_.tasks[index].inline_spec)
    for_each_text(*from.task_spec, visit(EdgeReason::Kind::Result, true));
}

void Compiler::connect() {
  for (size_t i = 0; i < plan_.tasks.size(); ++i) connect_task(i, *from_[i]);
  sort_topologically();
  connect_finally();
  check_results();
}

void Compiler::sort_topologically() {
  const size_t n = plan_.dag_size;
  std::vector<size_t> waiting(n, 0);
  std::vector<std::vector<size_t>> dependents(n);
  for (size_t i = 0; i < n; ++i) {
    waiting[i] = plan_.tasks[i].needs.size();
    for (const Edge& edge : plan_.tasks[i].needs) dependents[edge.from].push_back(i);
  }
  // The order of the file among those that are ready, so that the result does not depend on luck.
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < n; ++i)
    if (waiting[i] == 0) ready.push(i);
  std::vector<size_t> order;
  std::vector<bool> placed(n, false);
  order.reserve(n);
  while (!ready.empty()) {
    const size_t task = ready.top();
    ready.pop();
    placed[task] = true;
    order.push_back(task);
    for (size_t dependent : dependents[task])
      if (--waiting[dependent] == 0) ready.push(dependent);
  }
  if (order.size() < n) {
    report_cycle(placed);
    return;
  }
  std::vector<size_t> place(plan_.tasks.size());
  for (size_t i = 0; i < n; ++i) place[order[i]] = i;
  for (size_t i = n; i < place.size(); ++i) place[i] = i;
  std::vector<PlannedTask> sorted(plan_.tasks.size());
  for (size_t i = 0; i < place.size(); ++i) {
    PlannedTask& task = plan_.tasks[i];
    for (Edge& edge : task.needs) edge.from = place[edge.from];
    for (ResultUse& use : task.uses) use.task = place[use.task];
    index_[task.name] = place[i];
    sorted[place[i]] = std::move(task);
  }
  plan_.tasks = std::move(sorted);
  for (size_t i = 0; i < n; ++i)
    for (const Edge& edge : plan_.tasks[i].needs) plan_.tasks[edge.from].dependents.push_back(i);
  // Tasks already ordered that share a folder: worth knowing when reading the graph.
  for (size_t i = 0; i < n; ++i)
    for (Edge& edge : plan_.tasks[i].needs)
      for (const TaskWorkspace& mine : plan_.tasks[i].workspaces)
        for (const TaskWorkspace& theirs : plan_.tasks[edge.from].workspaces)
          if (mine.bound && theirs.bound && mine.binding.name.value == theirs.binding.name.value &&
              mine.binding.kind != WorkspaceBinding::Kind::EmptyDir)
            edge.reasons.push_back({EdgeReason::Kind::Workspace, mine.binding.name});
}

// Tekton's message names one task and what it waits for; ours adds a whole cycle.
void Compiler::report_cycle(const std::vector<bool>& placed) {
  size_t first = placed.size();
  for (size_t i = 0; i < placed.size(); ++i)
    if (!placed[i] && (first == placed.size() || plan_.tasks[i].name < plan_.tasks[first].name)) first = i;
  std::vector<std::string> needs;
  for (const Edge& edge : plan_.tasks[first].needs)
    if (!placed[edge.from]) needs.push_back("\"" + plan_.tasks[edge.from].name + "\"");
  std::ranges::sort(needs);

  // Every task left waits for another one left, so walking that way comes back to where it was.
  std::vector<size_t> walk;
  std::unordered_map<size_t, size_t> visited;
  size_t at = first;
  while (visited.emplace(at, walk.size()).second) {
    walk.push_back(at);
    at = std::ranges::find_if(plan_.tasks[at].needs, [&](const Edge& edge) {
           return !placed[edge.from];
         })->from;
  }
  std::string cycle;
  for (size_t i = visited[at]; i < walk.size(); ++i) cycle += plan_.tasks[walk[i]].name + " → ";
  cycle += plan_.tasks[at].name;
  reporter_.error(plan_.tasks[first].at,
                  "cycle detected; task \"" + plan_.tasks[first].name + "\" depends on " + join(needs, ", "),
                  "the whole cycle (each waits for the next): " + cycle);
}

void Compiler::connect_finally() {
  for (size_t i = plan_.dag_size; i < plan_.tasks.size(); ++i) {
    for (size_t k = 0; k < plan_.dag_size; ++k)
      if (plan_.tasks[k].dependents.empty()) add_edge(i, k, {EdgeReason::Kind::Finally, ""});
    for (const ResultUse& use : plan_.tasks[i].uses)
      add_edge(i, use.task, {EdgeReason::Kind::Result, use.result});
  }
}

void Compiler::check_results() {
  for (const ResultSpec& result : target_.spec->results) {
    if (!result.value) {
      reporter_.error(result.name.at, "pipeline result `" + result.name.value + "` needs a `value`");
      continue;
    }
    bool refers = false;
    for_each_text(Param{result.name, *result.value, result.value_at}, [&](std::string_view text, Position at,
                                                                          ArrayUse arrays) {
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
        if (found == index_.end()) {
          std::vector<std::string> known;
          for (const PlannedTask& task : plan_.tasks) known.push_back(task.name);
          complain("invalid pipeline result reference: task " + path[1] + " is not defined in the pipeline",
                   did_you_mean(path[1], known));
          continue;
        }
        const PlannedTask& task = plan_.tasks[found->second];
        if (path.size() < 4 || path[2] != "results" || !task.spec) continue;
        std::vector<std::string> declared;
        for (const ResultSpec& spec : task.spec->results) declared.push_back(spec.name);
        if (std::ranges::find(declared, path[3]) == declared.end())
          complain("invalid pipeline result reference: \"" + path[3] +
                       "\" is not a named result returned by pipeline task \"" + task.name + "\"",
                   did_you_mean(path[3], declared));
      }
    });
    if (!refers)
      reporter_.warn(result.value_at, "pipeline result `" + result.name.value + "` refers to no task result",
                     "it looks like $(tasks.NAME.results.RESULT)");
  }
  plan_.results = target_.spec->results;
}

}  // namespace kiln::dag
