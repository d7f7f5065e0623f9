#include "tests/unit/dag/random_pipeline.h"

#include <algorithm>
#include <stdexcept>

#include "base/text.h"

namespace kiln::dag::testing {

using Kind = EdgeReason::Kind;

RandomPipeline::RandomPipeline(unsigned seed) : random_(seed) {
  const auto shape = static_cast<Shape>(below(3));
  const size_t count = 1 + below(25);
  for (size_t i = 0; i < count; ++i) add_task(i, shape);
  for (size_t i = 0, n = below(4); i < n; ++i) add_finally(i);
  connect_finally(count);
}

const RandomPipeline::Task& RandomPipeline::task(const std::string& name) const {
  const auto found = std::ranges::find(tasks_, name, &Task::name);
  if (found == tasks_.end()) throw std::out_of_range(name);
  return *found;
}

void RandomPipeline::add_task(size_t number, Shape shape) {
  Task task;
  Spec spec;
  task.name = "t" + std::to_string(number);
  decorate(task, spec);
  for (size_t i = 0; i < number; ++i) {
    const bool wanted = shape == Shape::Chain ? i + 1 == number : shape == Shape::Fan ? i == 0 : one_in(4);
    if (wanted) need(task, spec, tasks_[i]);
  }
  tasks_.push_back(std::move(task));
  specs_.push_back(std::move(spec));
}

void RandomPipeline::decorate(Task& task, Spec& spec) {
  task.inline_spec = one_in(2);
  task.shares = one_in(3);
  if (one_in(4)) task.retries = 1 + static_cast<int>(below(5));
  if (!task.is_finally && one_in(5)) {
    task.has_matrix = true;
    spec.matrix.push_back("{name: m, value: [a, b]}");
    spec.declared.push_back("{name: m}");
  }
  if (one_in(5)) spec.when.push_back("{input: '$(params.given)', operator: in, values: [x, 'y']}");
}

// One or several reasons to wait.
void RandomPipeline::need(Task& task, Spec& spec, const Task& from) {
  const size_t before = task.needs.size();
  if (one_in(2)) use_result(task, spec, from);
  if (!from.has_matrix && one_in(4)) {
    spec.when.push_back("{input: '$(tasks." + from.name + ".results.r)', operator: notin, values: ['no']}");
    task.needs[from.name].insert({Kind::When, "r"});
  }
  if (task.needs.size() == before || one_in(4)) task.needs[from.name].insert({Kind::RunAfter, ""});
  if (task.shares && from.shares) task.needs[from.name].insert({Kind::Workspace, "shared"});
}

void RandomPipeline::use_result(Task& task, Spec& spec, const Task& from) {
  const std::string result = "tasks." + from.name + ".results.r";
  const std::string param = "from-" + from.name;
  if (from.has_matrix && !task.has_matrix) {
    spec.params.push_back("{name: " + param + ", value: '$(" + result + "[*])'}");
    spec.declared.push_back("{name: " + param + ", type: array}");
  } else if (from.has_matrix) {
    spec.matrix.push_back("{name: " + param + ", value: '$(" + result + "[*])'}");
    spec.declared.push_back("{name: " + param + "}");
  } else if (task.inline_spec && one_in(3)) {
    spec.script.push_back("echo $(" + result + ")");
  } else {
    spec.params.push_back("{name: " + param + ", value: 'a $(params.given) b $(" + result + ")'}");
    spec.declared.push_back("{name: " + param + "}");
  }
  task.needs[from.name].insert({Kind::Result, "r"});
}

void RandomPipeline::add_finally(size_t number) {
  Task task;
  Spec spec;
  task.name = "f" + std::to_string(number);
  task.is_finally = true;
  decorate(task, spec);
  for (const Task& from : tasks_) {
    if (from.is_finally || !one_in(4)) continue;
    use_result(task, spec, from);
    if (one_in(2))
      spec.when.push_back("{input: '$(tasks." + from.name + ".status)', operator: in, values: [None]}");
  }
  tasks_.push_back(std::move(task));
  specs_.push_back(std::move(spec));
}

// They wait for whatever nothing else waits for.
void RandomPipeline::connect_finally(size_t first) {
  std::set<std::string> waited_for;
  for (size_t i = 0; i < first; ++i)
    for (const auto& [from, reasons] : tasks_[i].needs) waited_for.insert(from);
  for (size_t i = first; i < tasks_.size(); ++i)
    for (size_t k = 0; k < first; ++k)
      if (!waited_for.contains(tasks_[k].name)) tasks_[i].needs[tasks_[k].name].insert({Kind::Finally, ""});
}

std::string RandomPipeline::task_spec(size_t index) const {
  const Spec& spec = specs_[index];
  std::string out = "{params: [" + join(spec.declared, ", ") + "], results: [{name: r}], ";
  if (tasks_[index].shares) out += "workspaces: [{name: ws}], ";
  return out + "steps: [{image: i, script: '" + join(spec.script, "; ") + " done > $(results.r.path)'}]}";
}

std::string RandomPipeline::task_text(size_t index, const std::string& extra) const {
  const Task& task = tasks_[index];
  const Spec& spec = specs_[index];
  std::string out = "  - name: " + task.name + "\n";
  std::vector<std::string> after;
  for (const auto& [from, reasons] : task.needs)
    if (reasons.contains({Kind::RunAfter, ""})) after.push_back(from);
  if (!extra.empty()) after.push_back(extra);
  const auto field = [&](const std::string& name, const std::string& value) {
    out += "    " + name + ": " + value + "\n";
  };
  if (!after.empty()) field("runAfter", "[" + join(after, ", ") + "]");
  if (task.retries > 0) field("retries", std::to_string(task.retries));
  if (!spec.params.empty()) field("params", "[" + join(spec.params, ", ") + "]");
  if (!spec.matrix.empty()) field("matrix", "{params: [" + join(spec.matrix, ", ") + "]}");
  if (!spec.when.empty()) field("when", "[" + join(spec.when, ", ") + "]");
  if (task.shares) field("workspaces", "[{name: ws, workspace: shared}]");
  if (task.inline_spec)
    field("taskSpec", task_spec(index));
  else
    field("taskRef", "{name: task-" + task.name + "}");
  return out;
}

std::string RandomPipeline::text(unsigned order_seed,
                                 const std::map<std::string, std::string>& run_after) const {
  std::string pipeline =
      "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n"
      "  params: [{name: given, default: x}]\n  workspaces: [{name: shared}]\n  tasks:\n";
  std::vector<std::string> documents{
      "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: run}\nspec: {pipelineRef: {name: "
      "p}}\n"};
  // Tasks stand in the pipeline in an order of this seed's own, which has nothing to do with how they run.
  std::vector<size_t> order(tasks_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::mt19937 task_order(static_cast<unsigned>(tasks_.size()));
  std::ranges::shuffle(order, task_order);
  std::stable_partition(order.begin(), order.end(), [&](size_t i) { return !tasks_[i].is_finally; });
  bool in_finally = false;
  for (const size_t i : order) {
    if (tasks_[i].is_finally && !std::exchange(in_finally, true)) pipeline += "  finally:\n";
    const auto extra = run_after.find(tasks_[i].name);
    pipeline += task_text(i, extra == run_after.end() ? "" : extra->second);
    if (!tasks_[i].inline_spec)
      documents.push_back("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: task-" + tasks_[i].name +
                          "}\nspec: " + task_spec(i) + "\n");
  }
  documents.push_back(std::move(pipeline));
  std::mt19937 document_order(order_seed);
  std::ranges::shuffle(documents, document_order);
  return join(documents, "---\n");
}

}  // namespace kiln::dag::testing
