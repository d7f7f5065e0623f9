#include "cli/preview.h"

#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "dag/compile.h"
#include "dag/graph.h"
#include "dag/matrix.h"
#include "dag/resolve.h"
#include "dag/substitution.h"

namespace kiln::cli {
namespace {

const dag::RunContext kContext{"<run>", "<uid>", "default"};

std::string words(const std::vector<dag::Text>& command, const std::vector<dag::Text>& args) {
  std::string line;
  for (const auto* list : {&command, &args})
    for (const dag::Text& word : *list) line += (line.empty() ? "" : " ") + shell_quote(word.value);
  return line;
}

std::string condition(const dag::When& when) {
  if (!when.cel.empty()) return when.cel;
  std::vector<std::string> values(when.values.begin(), when.values.end());
  return when.input.value + " " + when.op.value + " [" + join(values, ", ") + "]";
}

class Preview {
 public:
  explicit Preview(const dag::Plan& plan) : plan_(plan), resolver_(plan.remote) {}

  std::string run() {
    tasks(plan_, "");
    return std::move(out_);
  }

 private:
  void tasks(const dag::Plan& plan, const std::string& indent) {
    for (size_t i = 0; i < plan.tasks.size(); ++i) task(plan, i, indent);
  }

  void line(const std::string& indent, const std::string& text) {
    constexpr size_t kMost = 256u << 20;
    out_ += indent + text + "\n";
    if (out_.size() > kMost)
      throw Error(ErrorKind::Invalid, "what would run comes to more than 256 MiB of text");
  }

  void conditions(const std::vector<dag::When>& when, const std::string& indent) {
    for (const dag::When& one : when) line(indent, "when " + condition(one));
  }

  void params(const std::vector<dag::Param>& params, const std::string& indent) {
    for (const dag::Param& param : params)
      line(indent, param.name.value + " = " + shell_quote(dag::to_text(param.value)));
  }

  void container(const dag::Container& container, const std::string& what, const std::string& indent) {
    line(indent, what + container.name.value + "  (image " + container.image.value + ")");
    if (const std::string command = words(container.command, container.args); !command.empty())
      line(indent + "  ", command);
    if (!container.script.empty())
      for (const std::string& text : split(trim(container.script.value), '\n')) line(indent + "  | ", text);
  }

  void task(const dag::Plan& plan, size_t index, const std::string& indent) {
    const dag::PlannedTask& task = plan.tasks[index];
    line(indent, task.name + ":" + (task.is_finally ? "  (finally)" : ""));
    const std::string deeper = indent + "  ";
    conditions(task.when, deeper);
    if (task.matrix) return matrix(plan, index, deeper);
    task_run(plan, index, {}, deeper);
  }

  void matrix(const dag::Plan& plan, size_t index, const std::string& indent) {
    const dag::Matrix& matrix = *plan.tasks[index].matrix;
    if (!dag::count_combinations(matrix)) {
      line(indent, "one TaskRun for each combination of:");
      params(matrix.params, indent + "  ");
      return task_run(plan, index, {}, indent);
    }
    const auto all = dag::resolve_matrix(plan, index, dag::no_facts(), kContext);
    for (size_t i = 0; i < all.size(); ++i) {
      line(indent, "TaskRun " + std::to_string(i) + " of " + std::to_string(all.size()) + ":");
      task_run(plan, index, {.in_matrix = i}, indent + "  ");
    }
  }

  void task_run(const dag::Plan& plan, size_t index, dag::TaskRunIndex which, const std::string& indent) {
    const dag::PlannedTask& task = plan.tasks[index];
    const dag::ResolvedTask resolved = dag::resolve_task(plan, index, dag::no_facts(), kContext, which);
    switch (task.kind) {
      case dag::PlannedTask::Kind::Task:
        for (const dag::Sidecar& sidecar : resolved.spec.sidecars) container(sidecar, "sidecar ", indent);
        for (const dag::Step& step : resolved.spec.steps) {
          container(step, "", indent);
          conditions(step.when, indent + "  ");
        }
        break;
      case dag::PlannedTask::Kind::Custom:
        line(indent, "custom task " + task.custom->api_version + " " + task.custom->kind +
                         (task.custom->name.empty() ? "" : " " + task.custom->name));
        params(resolved.params, indent + "  ");
        break;
      case dag::PlannedTask::Kind::Pipeline:
        nested(plan, index, indent);
        break;
    }
  }

  // With what its params are known to be; those that wait for a result stay as they are written.
  void nested(const dag::Plan& plan, size_t index, const std::string& indent) {
    const dag::Compiled compiled = compile_nested(plan, index);
    const dag::Plan* inner = compiled.plan ? &*compiled.plan : plan.tasks[index].pipeline.get();
    if (inner != nullptr) tasks(*inner, indent);
  }

  // Each compile copies the documents into its plan: of a large file full of pipelines only the first are
  // shown with their params.
  dag::Compiled compile_nested(const dag::Plan& plan, size_t index) {
    constexpr size_t kMostCopied = 256u << 20;
    if (!documents_) {
      Diagnostics nothing_new;
      documents_.emplace();
      for (const auto& [file, text] : plan_.sources) {
        dag::load(*documents_, file, text, nothing_new);
        bytes_ += text.size();
      }
    }
    if (copied_ > kMostCopied) return {};
    copied_ += bytes_;
    return dag::compile(*documents_, dag::nested_request(plan, index, dag::no_facts(), kContext), resolver_);
  }

  const dag::Plan& plan_;
  dag::StoredResolver resolver_;
  std::optional<dag::Documents> documents_;  // those of the plan, read when the first pipeline in it is met
  size_t bytes_ = 0, copied_ = 0;
  std::string out_;
};

}  // namespace

std::string preview(const dag::Plan& plan) {
  return dag::graph_ascii(plan) + "\n" + Preview(plan).run();
}

}  // namespace kiln::cli
