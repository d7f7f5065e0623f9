#include "dag/graph.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "dag/matrix.h"
#include "dag/outcomes.h"

namespace kiln::dag {

using nlohmann::json;

namespace {

std::string words(const EdgeReason& reason) {
  return std::string(to_string(reason.kind)) + (reason.detail.empty() ? "" : " " + reason.detail);
}

std::string label(const Edge& edge) {
  std::vector<std::string> parts;
  for (const EdgeReason& reason : edge.reasons) parts.push_back(words(reason));
  return join(parts, ", ");
}

// Names come from a stranger's file: keep them inside their quotes.
std::string dot_text(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + "\"";
}

std::string mermaid_text(std::string text) {
  return "\"" + replace_all(std::move(text), "\"", "#quot;") + "\"";
}

// "×4", or "×?" when results decide.
std::string fan_out(const PlannedTask& task) {
  const std::optional<size_t> count = count_combinations(*task.matrix);
  return "×" + (count ? std::to_string(*count) : "?");
}

// What a task is, beyond a Task that runs once.
std::string marks(const PlannedTask& task) {
  std::string out;
  if (task.matrix) out += "  [matrix " + fan_out(task) + "]";
  if (!task.when.empty()) out += "  [when]";
  if (task.retries > 0) out += "  [retries " + std::to_string(task.retries) + "]";
  if (task.custom) out += "  [" + task.custom->kind + "]";
  if (task.kind == PlannedTask::Kind::Pipeline)
    out += "  [pipeline" + (task.task_name.empty() ? "" : " " + task.task_name) + "]";
  return out;
}

std::vector<size_t> depths(const Plan& plan) {
  std::vector<size_t> depth(plan.tasks.size(), 0);
  for (size_t i = 0; i < plan.dag_size; ++i)
    for (const Edge& edge : plan.tasks[i].needs) depth[i] = std::max(depth[i], depth[edge.from] + 1);
  return depth;
}

// The DAG's tasks so that each stands below the parent it is indented under: the deepest of those it needs.
std::vector<size_t> reading_order(const Plan& plan, const std::vector<size_t>& depth) {
  std::vector<std::vector<size_t>> below(plan.dag_size);
  std::vector<size_t> stack, order;
  for (size_t i = plan.dag_size; i-- > 0;) {
    const auto& needs = plan.tasks[i].needs;
    if (needs.empty()) {
      stack.push_back(i);
      continue;
    }
    const auto parent = std::ranges::max_element(
        needs, [&](const Edge& a, const Edge& b) { return depth[a.from] < depth[b.from]; });
    below[parent->from].push_back(i);
  }
  while (!stack.empty()) {
    const size_t i = stack.back();
    stack.pop_back();
    order.push_back(i);
    stack.insert(stack.end(), below[i].begin(), below[i].end());
  }
  for (size_t i = plan.dag_size; i < plan.tasks.size(); ++i) order.push_back(i);
  return order;
}

// Lines of one plan; a pipeline inside it follows its task, one bar deeper.
class Ascii {
 public:
  std::string run(const Plan& plan, const std::string& margin, const Outcomes& outcomes) {
    constexpr size_t kDeepestIndent = 20;
    const std::vector<size_t> depth = depths(plan);
    const auto indent = [&](size_t i) {
      return margin +
             std::string(2 + 2 * (plan.tasks[i].is_finally ? 1 : std::min(depth[i], kDeepestIndent)), ' ');
    };
    size_t widest = 0, widest_words = 0;
    for (size_t i = 0; i < plan.tasks.size(); ++i) {
      const size_t words = outcomes.words(plan.tasks[i]).size();
      widest_words = std::max(widest_words, words);
      if (i < plan.dag_size || words > 0)
        widest = std::max(widest, indent(i).size() + plan.tasks[i].name.size());
    }
    bool in_finally = false;
    for (size_t i : reading_order(plan, depth)) {
      const PlannedTask& task = plan.tasks[i];
      if (task.is_finally && !std::exchange(in_finally, true)) out_ += margin + "  finally\n";
      std::string line = indent(i) + task.name;
      const auto fill = [&](size_t width) { line.resize(std::max(line.size(), width), ' '); };
      if (const std::string words = outcomes.words(task); !words.empty()) {
        fill(widest);
        line += "  " + words;
      }
      if (const std::string waits = needs(plan, task); !waits.empty()) {
        fill(widest + (widest_words > 0 ? 2 + widest_words : 0));
        line += "  ← " + waits;
      }
      out_ += line + marks(task) + "\n";
      if (task.pipeline) out_ += Ascii().run(*task.pipeline, indent(i) + "│", outcomes.inside(task));
    }
    return std::move(out_);
  }

 private:
  static std::string needs(const Plan& plan, const PlannedTask& task) {
    constexpr size_t kShown = 6;
    std::vector<std::string> out;
    for (const Edge& edge : task.needs) {
      if (task.is_finally && edge.reasons.size() == 1 && edge.reasons[0].kind == EdgeReason::Kind::Finally)
        continue;
      if (out.size() == kShown) {
        out.push_back("… " + std::to_string(task.needs.size() - kShown) + " more");
        break;
      }
      out.push_back(plan.tasks[edge.from].name + " (" + label(edge) + ")");
    }
    return join(out, ", ");
  }

  std::string out_;
};

// The edges into a pipeline inside another end at its first task, drawn to its border.
void dot_tasks(const Plan& plan, const std::string& prefix, const Outcomes& outcomes, std::string& out) {
  const auto id = [&](const PlannedTask& task) { return dot_text(prefix + task.name); };
  for (const PlannedTask& task : plan.tasks) {
    const std::string title = task.name + (task.matrix ? " " + fan_out(task) : "");
    std::string label = dot_text(title);
    if (const std::string words = outcomes.words(task); !words.empty())
      label.insert(label.size() - 1, "\\n" + words);
    const StateColour* colour = outcomes.colour(task);
    out += "  " + id(task) + " [label=" + label;
    if (colour != nullptr)
      out += ", class=" + to_lower(colour->state) + ", fillcolor=\"" + std::string(colour->fill) +
             "\", style=" + (task.is_finally ? "\"filled,dashed\"" : "filled");
    else if (task.is_finally)
      out += ", style=dashed";
    out += "];\n";
    if (!task.pipeline) continue;
    out += "  subgraph " + dot_text("cluster " + prefix + task.name) + " {\n  label=" + dot_text(task.name) +
           ";\n";
    dot_tasks(*task.pipeline, prefix + task.name + "/", outcomes.inside(task), out);
    out += "  }\n";
  }
  for (const PlannedTask& task : plan.tasks)
    for (const Edge& edge : task.needs)
      out += "  " + id(plan.tasks[edge.from]) + " -> " + id(task) + " [label=" + dot_text(label(edge)) +
             (task.is_finally ? ", style=dashed" : "") + "];\n";
}

void mermaid_tasks(const Plan& plan, const std::string& prefix, const Outcomes& outcomes, std::string& out) {
  const auto id = [&](size_t i) { return prefix + std::to_string(i); };
  for (size_t i = 0; i < plan.tasks.size(); ++i) {
    const PlannedTask& task = plan.tasks[i];
    const std::string words = outcomes.words(task);
    const std::string name = mermaid_text(task.name + (task.matrix ? " " + fan_out(task) : "") +
                                          (words.empty() ? "" : "<br/>" + words));
    if (task.pipeline) {
      out += "  subgraph " + id(i) + "[" + name + "]\n";
      mermaid_tasks(*task.pipeline, id(i) + "_", outcomes.inside(task), out);
      out += "  end\n";
    } else {
      out += "  " + id(i) + (task.is_finally ? "([" + name + "])" : "[" + name + "]") + "\n";
    }
    if (const StateColour* colour = outcomes.colour(task))
      out += "  class " + id(i) + " " + to_lower(colour->state) + "\n";
  }
  for (size_t i = 0; i < plan.tasks.size(); ++i)
    for (const Edge& edge : plan.tasks[i].needs)
      out += "  " + id(edge.from) + (plan.tasks[i].is_finally ? " -. " : " -- ") + mermaid_text(label(edge)) +
             (plan.tasks[i].is_finally ? " .-> " : " --> ") + id(i) + "\n";
}

json needs_json(const Plan& plan, const PlannedTask& task) {
  json needs = json::array();
  for (const Edge& edge : task.needs) {
    json reasons = json::array();
    for (const EdgeReason& reason : edge.reasons) {
      json one{{"kind", to_string(reason.kind)}};
      if (!reason.detail.empty()) one["name"] = reason.detail;
      reasons.push_back(std::move(one));
    }
    needs.push_back({{"task", plan.tasks[edge.from].name}, {"reasons", std::move(reasons)}});
  }
  return needs;
}

json plan_json(const Plan& plan, const Outcomes& outcomes);

void add_outcome(const TaskOutcome& outcome, json& out) {
  out["state"] = outcome.state;
  if (!outcome.reason.empty()) out["reason"] = outcome.reason;
  if (outcome.took) out["seconds"] = seconds(*outcome.took);
}

json task_json(const Plan& plan, const PlannedTask& task, const Outcomes& outcomes) {
  json out{{"name", task.name}, {"finally", task.is_finally}, {"needs", needs_json(plan, task)}};
  if (!task.task_name.empty()) out[task.pipeline ? "pipelineRef" : "taskRef"] = task.task_name;
  if (task.retries > 0) out["retries"] = task.retries;
  if (task.matrix) {
    const std::optional<size_t> count = count_combinations(*task.matrix);
    out["matrix"] = count ? json(*count) : json();
  }
  if (task.custom) out["custom"] = {{"apiVersion", task.custom->api_version}, {"kind", task.custom->kind}};
  if (task.pipeline) out["pipeline"] = plan_json(*task.pipeline, outcomes.inside(task));
  out["steps"] = json::array();
  if (task.spec)
    for (const Step& step : task.spec->steps)
      out["steps"].push_back({{"name", step.name.value}, {"image", step.image.value}});
  const auto& runs = outcomes.of(task);
  if (runs.size() == 1) add_outcome(*runs.front(), out);
  if (runs.size() < 2) return out;
  for (const TaskOutcome* run : runs) {
    json one{{"name", run->label}};
    add_outcome(*run, one);
    out["runs"].push_back(std::move(one));
  }
  return out;
}

json plan_json(const Plan& plan, const Outcomes& outcomes) {
  json tasks = json::array();
  for (const PlannedTask& task : plan.tasks) tasks.push_back(task_json(plan, task, outcomes));
  return {{"kind", plan.kind_name()}, {"name", plan.name}, {"tasks", std::move(tasks)}};
}

}  // namespace

std::string graph_ascii(const Plan& plan, const RunOutcome* outcome) {
  std::string head = std::string(plan.kind_name()) + " " + plan.name;
  if (outcome != nullptr) head += ", run " + outcome->run + ": " + outcome->reason;
  return head + "\n" + Ascii().run(plan, "", Outcomes(outcome));
}

std::string graph_dot(const Plan& plan, const RunOutcome* outcome) {
  std::string out = "digraph " + dot_text(plan.name) + " {\n  rankdir=LR;\n  node [shape=box];\n";
  dot_tasks(plan, "", Outcomes(outcome), out);
  return out + "}\n";
}

std::string graph_mermaid(const Plan& plan, const RunOutcome* outcome) {
  std::string out = "graph LR\n";
  if (outcome != nullptr)
    for (const StateColour& one : state_colours())
      out += "  classDef " + to_lower(one.state) + " fill:" + std::string(one.fill) + ",color:#000\n";
  mermaid_tasks(plan, "t", Outcomes(outcome), out);
  return out;
}

json graph_json(const Plan& plan, const RunOutcome* outcome) {
  json out = plan_json(plan, Outcomes(outcome));
  if (outcome != nullptr) {
    out["run"] = outcome->run;
    out["reason"] = outcome->reason;
  }
  return out;
}

std::string graph(const Plan& plan, std::string_view format, const RunOutcome* outcome) {
  if (format == "ascii") return graph_ascii(plan, outcome);
  if (format == "dot") return graph_dot(plan, outcome);
  if (format == "mermaid") return graph_mermaid(plan, outcome);
  if (format == "json")
    return graph_json(plan, outcome).dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  throw Error(ErrorKind::Usage, "unknown graph format \"" + std::string(format) + "\"",
              "one of ascii, dot, mermaid, json");
}

}  // namespace kiln::dag
