#include <algorithm>
#include <queue>
#include <span>

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

// Edges are added to one task after another.
void Compiler::begin_edges(size_t index) {
  edge_from_.clear();
  reasons_.clear();
  uses_.clear();
  const std::vector<Edge>& needs = plan_.tasks[index].needs;
  for (size_t i = 0; i < needs.size(); ++i) edge_from_.emplace(needs[i].from, i);
}

void Compiler::add_edge(size_t index, size_t from, EdgeReason reason) {
  std::vector<Edge>& needs = plan_.tasks[index].needs;
  const auto [place, fresh] = edge_from_.emplace(from, needs.size());
  if (fresh) needs.push_back({from, {}});
  if (reasons_.emplace(from, reason).second) needs[place->second].reasons.push_back(std::move(reason));
}

void Compiler::connect_run_after(size_t index, const PipelineTask& from) {
  for (const Text& name : from.run_after) {
    const auto found = index_.find(name.value);
    if (found == index_.end() || plan_.tasks[found->second].is_finally) {
      const auto name_of = [&](const PlannedTask& task) {
        return &task == &plan_.tasks[index] ? std::string() : task.name;
      };
      const auto known = std::span(plan_.tasks).first(plan_.dag_size);
      reporter_.error(name.at,
                      "couldn't add link between " + from.name.value + " and " + name.value + ": task " +
                          from.name.value + " depends on " + name.value + " but " + name.value +
                          " wasn't present in Pipeline",
                      found != index_.end()
                          ? "`" + name.value + "` is a finally task: those run last, and all together"
                          : reporter_.choices(name.value, known, "the pipeline", name_of));
    } else if (found->second == index) {
      reporter_.error(name.at, "cycle detected; task \"" + from.name.value + "\" depends on itself",
                      "take `" + name.value + "` out of its own `runAfter`");
    } else {
      add_edge(index, found->second, {EdgeReason::Kind::RunAfter, ""});
    }
  }
}

void Compiler::connect_task(size_t index, const PipelineTask& from) {
  const PlannedTask& task = plan_.tasks[index];
  begin_edges(index);
  if (!task.is_finally) connect_run_after(index, from);
  const auto visit = [&](EdgeReason::Kind kind, bool in_spec = false) {
    return [this, index, kind, in_spec](std::string_view text, Position at, ArrayUse) {
      if (!may_have_variables(text)) return;
      for (const Variable& variable : find_variables(text)) {
        const std::string& root = variable.reference.path[0];
        if (root == "tasks" || root == "finally")
          use_result(index, variable.reference, text.substr(variable.begin, variable.end - variable.begin),
                     at, kind, in_spec);
      }
    };
  };
  for (const Param& param : from.params) for_each_text(param, visit(EdgeReason::Kind::Result));
  if (from.matrix) for_each_text(*from.matrix, visit(EdgeReason::Kind::Result));
  for (const When& when : from.when) for_each_text(when, visit(EdgeReason::Kind::When));
  if (from.task_spec && task.inline_spec)
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
    report_cycles(placed);
    return;
  }
  reorder(order);
  note_shared_workspaces();
}

void Compiler::reorder(const std::vector<size_t>& order) {
  std::vector<size_t> place(plan_.tasks.size());
  for (size_t i = 0; i < place.size(); ++i) place[i] = i;
  for (size_t i = 0; i < order.size(); ++i) place[order[i]] = i;
  std::vector<PlannedTask> sorted(plan_.tasks.size());
  for (size_t i = 0; i < place.size(); ++i) {
    PlannedTask& task = plan_.tasks[i];
    for (Edge& edge : task.needs) edge.from = place[edge.from];
    for (ResultUse& use : task.uses) use.task = place[use.task];
    index_[task.name] = place[i];
    sorted[place[i]] = std::move(task);
  }
  plan_.tasks = std::move(sorted);
  for (size_t i = 0; i < plan_.dag_size; ++i)
    for (const Edge& edge : plan_.tasks[i].needs) plan_.tasks[edge.from].dependents.push_back(i);
}

// Tasks already ordered that share a folder: worth knowing when reading the graph.
void Compiler::note_shared_workspaces() {
  std::vector<std::set<std::string_view>> shared(plan_.dag_size);  // a fresh emptyDir is nobody else's
  for (size_t i = 0; i < plan_.dag_size; ++i)
    for (const TaskWorkspace& workspace : plan_.tasks[i].workspaces)
      if (workspace.bound && !workspace.binding.is(VolumeSource::Kind::EmptyDir))
        shared[i].insert(workspace.binding.name.value);
  for (size_t i = 0; i < plan_.dag_size; ++i)
    for (Edge& edge : plan_.tasks[i].needs) {
      if (shared[i].empty() || shared[edge.from].empty()) continue;
      catalog_.spend(shared[i].size() / 16);
      for (const TaskWorkspace& mine : plan_.tasks[i].workspaces)
        if (mine.bound && shared[i].contains(mine.binding.name.value) &&
            shared[edge.from].contains(mine.binding.name.value))
          edge.reasons.push_back({EdgeReason::Kind::Workspace, mine.binding.name});
    }
}

// Every task left waits for another one left, so walking that way comes back to where it was, or to where an
// earlier walk has been: one error for each cycle, whichever tasks wait for it.
void Compiler::report_cycles(const std::vector<bool>& placed) {
  std::vector<size_t> left;
  for (size_t i = 0; i < placed.size(); ++i)
    if (!placed[i]) left.push_back(i);
  std::ranges::sort(left, {}, [&](size_t i) { return std::string_view(plan_.tasks[i].name); });
  const auto next = [&](size_t task) {
    return std::ranges::find_if(plan_.tasks[task].needs, [&](const Edge& edge) { return !placed[edge.from]; })
        ->from;
  };
  constexpr size_t kNever = static_cast<size_t>(-1);
  std::vector<size_t> walked_from(placed.size(), kNever);  // the start of the walk that came by
  for (size_t start : left) {
    size_t at = start;
    for (; walked_from[at] == kNever; at = next(at)) walked_from[at] = start;
    if (walked_from[at] != start) continue;
    std::vector<size_t> cycle{at};
    for (size_t task = next(at); task != at; task = next(task)) cycle.push_back(task);
    const auto by_name = [&](size_t i) { return std::string_view(plan_.tasks[i].name); };
    std::rotate(cycle.begin(), std::ranges::min_element(cycle, {}, by_name), cycle.end());
    report_cycle(placed, cycle);
  }
}

// Tekton's message names one task and what it waits for; ours adds the whole cycle.
void Compiler::report_cycle(const std::vector<bool>& placed, const std::vector<size_t>& cycle) {
  const size_t first = cycle.front();
  std::vector<std::string> needs;
  for (const Edge& edge : plan_.tasks[first].needs)
    if (!placed[edge.from]) needs.push_back("\"" + plan_.tasks[edge.from].name + "\"");
  std::ranges::sort(needs);

  std::string whole;
  for (size_t task : cycle) whole += plan_.tasks[task].name + " → ";
  whole += plan_.tasks[first].name;
  const std::string& after = plan_.tasks[cycle.size() > 1 ? cycle[1] : first].name;
  const auto& run_after = from_[first]->run_after;
  const auto named = std::ranges::find(run_after, after, &Text::value);
  reporter_.error(named != run_after.end() ? named->at : plan_.tasks[first].at,
                  "cycle detected; task \"" + plan_.tasks[first].name + "\" depends on " + join(needs, ", "),
                  "the whole cycle (each waits for the next): " + whole);
}

void Compiler::connect_finally() {
  std::vector<size_t> last;
  for (size_t i = 0; i < plan_.dag_size; ++i)
    if (plan_.tasks[i].dependents.empty()) last.push_back(i);
  catalog_.spend((plan_.tasks.size() - plan_.dag_size) * last.size() / 4);
  for (size_t i = plan_.dag_size; i < plan_.tasks.size(); ++i) {
    plan_.tasks[i].needs.reserve(last.size());
    for (size_t task : last) plan_.tasks[i].needs.push_back({task, {{EdgeReason::Kind::Finally, ""}}});
    begin_edges(i);
    for (const ResultUse& use : plan_.tasks[i].uses)
      add_edge(i, use.task, {EdgeReason::Kind::Result, use.result});
  }
}

}  // namespace kiln::dag
