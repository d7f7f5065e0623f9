#include "dag/graph.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"

namespace kiln::dag {
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

std::vector<size_t> depths(const Plan& plan) {
  std::vector<size_t> depth(plan.tasks.size(), 0);
  for (size_t i = 0; i < plan.dag_size; ++i)
    for (const Edge& edge : plan.tasks[i].needs) depth[i] = std::max(depth[i], depth[edge.from] + 1);
  return depth;
}

}  // namespace

std::string graph_ascii(const Plan& plan) {
  constexpr size_t kDeepestIndent = 20;
  constexpr size_t kShownEdges = 6;
  const std::vector<size_t> depth = depths(plan);
  std::string out = std::string(plan.kind_name()) + " " + plan.name + "\n";
  const auto indent = [&](size_t i) { return std::string(2 + 2 * std::min(depth[i], kDeepestIndent), ' '); };
  size_t widest = 0;
  for (size_t i = 0; i < plan.dag_size; ++i)
    widest = std::max(widest, indent(i).size() + plan.tasks[i].name.size());
  for (size_t i = 0; i < plan.tasks.size(); ++i) {
    const PlannedTask& task = plan.tasks[i];
    if (i == plan.dag_size) out += "  finally\n";
    std::string line = task.is_finally ? "    " + task.name : indent(i) + task.name;
    std::vector<std::string> needs;
    for (const Edge& edge : task.needs) {
      if (task.is_finally && edge.reasons.size() == 1 && edge.reasons[0].kind == EdgeReason::Kind::Finally)
        continue;
      if (needs.size() == kShownEdges) {
        needs.push_back("… " + std::to_string(task.needs.size() - kShownEdges) + " more");
        break;
      }
      needs.push_back(plan.tasks[edge.from].name + " (" + label(edge) + ")");
    }
    if (!needs.empty()) {
      line.resize(std::max(line.size(), widest), ' ');
      line += "  ← " + join(needs, ", ");
    }
    if (!task.when.empty()) line += "  [when]";
    if (task.retries > 0) line += "  [retries " + std::to_string(task.retries) + "]";
    out += line + "\n";
  }
  return out;
}

std::string graph_dot(const Plan& plan) {
  std::string out = "digraph " + dot_text(plan.name) + " {\n  rankdir=LR;\n  node [shape=box];\n";
  for (const PlannedTask& task : plan.tasks)
    out += "  " + dot_text(task.name) + (task.is_finally ? " [style=dashed]" : "") + ";\n";
  for (const PlannedTask& task : plan.tasks)
    for (const Edge& edge : task.needs)
      out += "  " + dot_text(plan.tasks[edge.from].name) + " -> " + dot_text(task.name) +
             " [label=" + dot_text(label(edge)) + (task.is_finally ? ", style=dashed" : "") + "];\n";
  return out + "}\n";
}

std::string graph_mermaid(const Plan& plan) {
  std::string out = "graph LR\n";
  for (size_t i = 0; i < plan.tasks.size(); ++i) {
    const PlannedTask& task = plan.tasks[i];
    const std::string name = mermaid_text(task.name);
    out += "  t" + std::to_string(i) + (task.is_finally ? "([" + name + "])" : "[" + name + "]") + "\n";
  }
  for (size_t i = 0; i < plan.tasks.size(); ++i)
    for (const Edge& edge : plan.tasks[i].needs)
      out += "  t" + std::to_string(edge.from) + (plan.tasks[i].is_finally ? " -. " : " -- ") +
             mermaid_text(label(edge)) + (plan.tasks[i].is_finally ? " .-> t" : " --> t") +
             std::to_string(i) + "\n";
  return out;
}

nlohmann::json graph_json(const Plan& plan) {
  nlohmann::json tasks = nlohmann::json::array();
  for (const PlannedTask& task : plan.tasks) {
    nlohmann::json needs = nlohmann::json::array();
    for (const Edge& edge : task.needs) {
      nlohmann::json reasons = nlohmann::json::array();
      for (const EdgeReason& reason : edge.reasons) {
        nlohmann::json one{{"kind", to_string(reason.kind)}};
        if (!reason.detail.empty()) one["name"] = reason.detail;
        reasons.push_back(std::move(one));
      }
      needs.push_back({{"task", plan.tasks[edge.from].name}, {"reasons", std::move(reasons)}});
    }
    nlohmann::json one{{"name", task.name}, {"finally", task.is_finally}, {"needs", std::move(needs)}};
    if (!task.task_name.empty()) one["taskRef"] = task.task_name;
    if (task.retries > 0) one["retries"] = task.retries;
    nlohmann::json steps = nlohmann::json::array();
    if (task.spec)
      for (const Step& step : task.spec->steps)
        steps.push_back({{"name", step.name.value}, {"image", step.image.value}});
    one["steps"] = std::move(steps);
    tasks.push_back(std::move(one));
  }
  return {{"kind", plan.kind_name()}, {"name", plan.name}, {"tasks", std::move(tasks)}};
}

std::string graph(const Plan& plan, std::string_view format) {
  if (format == "ascii") return graph_ascii(plan);
  if (format == "dot") return graph_dot(plan);
  if (format == "mermaid") return graph_mermaid(plan);
  if (format == "json")
    return graph_json(plan).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  throw Error(ErrorKind::Usage, "unknown graph format \"" + std::string(format) + "\"",
              "one of ascii, dot, mermaid, json");
}

}  // namespace kiln::dag
