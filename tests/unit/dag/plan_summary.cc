#include "tests/unit/dag/plan_summary.h"

#include <algorithm>
#include <array>
#include <regex>

#include "base/text.h"
#include "base/utf8.h"
#include "dag/matrix.h"
#include "dag/resolve.h"
#include "dag/substitution.h"

namespace kiln::dag::testing {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;

// Which registry an image comes from is left out: a golden file should not speak of other people's hosts.
std::string without_registry(const std::string& text) {
  static const std::regex host(R"((^|[\s"=\[])([a-z0-9-]+\.)+[a-z]{2,}(:[0-9]+)?/)");
  static const std::regex alone(R"((^|[\s"=\[])([a-z0-9-]+\.)+io(?=$|[\s"\]]))");
  return std::regex_replace(std::regex_replace(text, host, "$1"), alone, "$1<registry>");
}

// On one line, and not all of a long one: scripts belong into the document.
std::string short_text(const std::string& given) {
  const std::string text = without_registry(given);
  std::string out = replace_all(text, "\n", "\\n");
  constexpr size_t kMost = 72;
  return out.size() <= kMost ? out : std::string(prefix_of_code_points(out, kMost)) + "…";
}

std::string value_of(const ParamValue& value) {
  return (value.type == ParamType::String ? "\"" + short_text(value.text) + "\""
                                          : short_text(to_text(value)));
}

std::string time_of(Duration time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  return seconds == 0 ? "none" : std::to_string(seconds) + "s";
}

Words texts(const std::vector<Text>& list) {
  Words out;
  for (const Text& text : list) out.push_back("\"" + short_text(text) + "\"");
  return out;
}

std::string_view kind_of(const VolumeSource& source) {
  constexpr std::array<std::string_view, 10> kNames{"emptyDir", "claim",     "hostPath", "configMap",
                                                    "secret",   "projected", "csi",      "downwardAPI",
                                                    "token",    "other"};
  return kNames.at(static_cast<size_t>(source.kind));
}

std::string source_of(const VolumeSource& source) {
  std::string out(kind_of(source));
  if (!source.name.empty()) out += " " + source.name.value;
  Words parts;
  for (const KeyToPath& item : source.items) parts.push_back(item.key.value + "→" + item.path.value);
  for (const VolumeSource& inner : source.sources) parts.push_back(source_of(inner));
  if (!parts.empty()) out += " (" + join(parts, ", ") + ")";
  if (source.optional) out += " optional";
  return out;
}

std::string source_of(const WorkspaceBinding& binding) {
  std::string out = binding.kind == WorkspaceBinding::Kind::RunFolder    ? "folder of the run"
                    : binding.kind == WorkspaceBinding::Kind::HostFolder ? "folder " + binding.folder
                                                                         : source_of(binding.source);
  if (!binding.sub_path.empty()) out += " / " + binding.sub_path.value;
  return out;
}

class Summary {
 public:
  std::string of(const Plan& plan) {
    line(std::string(plan.kind_name()) + " " + plan.name +
         (plan.run_prefix.empty() ? "" : ", runs as " + plan.run_prefix));
    ++depth_;
    if (!plan.status.empty()) line("status " + plan.status);
    line("timeout " + time_of(plan.timeout) + ", tasks " + time_of(plan.tasks_timeout) + ", finally " +
         time_of(plan.finally_timeout));
    for (const Param& param : plan.params) line("param " + param.name.value + " = " + value_of(param.value));
    for (const WorkspaceBinding& workspace : plan.workspaces)
      line("workspace " + workspace.name.value + ": " + source_of(workspace));
    for (const ResultSpec& result : plan.results) result_line(result);
    for (const PlannedTask& one : plan.tasks) task(plan, one);
    --depth_;
    return std::move(out_);
  }

  std::string of(const StepAction& action) {
    line("StepAction " + action.metadata.name.value);
    ++depth_;
    for (const ParamSpec& param : action.params)
      line("param " + param.name.value + " " + std::string(to_string(param.type)) +
           (param.default_value ? " = " + value_of(*param.default_value) : ""));
    step(action.step);
    return std::move(out_);
  }

 private:
  void line(const std::string& text) { out_ += std::string(2 * depth_, ' ') + text + "\n"; }

  void result_line(const ResultSpec& result) {
    line("result " + result.name.value + " " + std::string(to_string(result.type)) +
         (result.value ? " = " + value_of(*result.value) : ""));
  }

  static std::string kind_of(const PlannedTask& task) {
    if (task.custom)
      return "custom " + task.custom->api_version + " " + task.custom->kind + " " +
             (task.custom->name.empty() ? short_text(task.custom->spec) : task.custom->name);
    const std::string what = task.kind == PlannedTask::Kind::Pipeline ? "pipeline" : "task";
    if (!task.spec && !task.pipeline) return what + " that is not loaded";
    return task.inline_spec ? "inline " + what : what + " " + task.task_name;
  }

  void task(const Plan& plan, const PlannedTask& task) {
    line(std::string(task.is_finally ? "finally " : "task ") + task.name + ": " + kind_of(task));
    ++depth_;
    for (const Edge& edge : task.needs) {
      Words reasons;
      for (const EdgeReason& reason : edge.reasons)
        reasons.push_back(std::string(to_string(reason.kind)) +
                          (reason.detail.empty() ? "" : " " + reason.detail));
      line("after " + plan.tasks[edge.from].name + ": " + join(reasons, ", "));
    }
    for (const When& when : task.when) line("when " + condition(when));
    settings(task);
    if (plan.kind != Plan::Kind::Task)  // a lone Task is passed just what the plan has
      for (const Param& param : task.params)
        line("param " + param.name.value + " = " + value_of(param.value));
    if (task.matrix) matrix(*task.matrix);
    for (const TaskWorkspace& workspace : resolved(plan, task).workspaces)
      line("workspace " + workspace.declaration.name.value +
           (workspace.bound ? " at " + workspace.path() + ": " + workspace.binding.name.value + ", " +
                                  source_of(workspace.binding)
                            : ": not bound"));
    if (task.spec) spec(plan, task);
    if (task.pipeline) {
      Summary inner;
      inner.depth_ = depth_;
      out_ += inner.of(*task.pipeline);
    }
    --depth_;
  }

  void settings(const PlannedTask& task) {
    Words words;
    if (!task.display_name.empty()) words.push_back("shown as \"" + short_text(task.display_name) + "\"");
    if (task.timeout != Duration{}) words.push_back("timeout " + time_of(task.timeout));
    if (task.retries > 0) words.push_back("retries " + std::to_string(task.retries));
    if (task.continue_on_error) words.push_back("continues on error");
    if (!task.settings->service_account.empty())
      words.push_back("service account " + task.settings->service_account.value);
    if (!words.empty()) line(join(words, ", "));
  }

  static std::string condition(const When& when) {
    if (!when.cel.empty()) return "cel " + short_text(when.cel);
    return "\"" + short_text(when.input) + "\" " + when.op.value + " [" + join(texts(when.values), ", ") +
           "]";
  }

  void matrix(const Matrix& matrix) {
    const auto count = count_combinations(matrix);
    line("matrix of " + (count ? std::to_string(*count) : "as many as results say"));
    ++depth_;
    for (const Param& param : matrix.params) line("over " + param.name.value + " = " + value_of(param.value));
    for (const MatrixInclude& include : matrix.include) {
      Words params;
      for (const Param& param : include.params)
        params.push_back(param.name.value + "=" + value_of(param.value));
      line("include " + (include.name.empty() ? "" : include.name.value + ": ") + join(params, ", "));
    }
    --depth_;
  }

  // What its (first) TaskRun would be.
  static ResolvedTask resolved(const Plan& plan, const PlannedTask& task) {
    const bool combined = task.matrix && count_combinations(*task.matrix).value_or(0) > 0;
    const size_t index = static_cast<size_t>(&task - plan.tasks.data());
    return resolve_task(plan, index, no_facts(), {"the-run", "the-uid"},
                        {0, combined ? std::optional<size_t>(0) : std::nullopt});
  }

  void spec(const Plan& plan, const PlannedTask& task) {
    const ResolvedTask run = resolved(plan, task);
    if (run.params.size() != task.params.size()) {
      Words params;
      for (const Param& param : run.params) params.push_back(param.name.value + "=" + value_of(param.value));
      line("given " + join(params, ", "));
    }
    spec(run.spec);
  }

  void spec(const TaskSpec& spec) {
    for (const ResultSpec& result : spec.results) result_line(result);
    for (const Volume& volume : spec.volumes)
      line("volume " + volume.name.value + ": " + source_of(volume.source));
    if (spec.step_template) container("template", *spec.step_template);
    for (const Sidecar& sidecar : spec.sidecars) {
      container("sidecar", sidecar);
      probe("ready", sidecar.readiness);
      probe("started", sidecar.startup);
      probe("alive", sidecar.liveness);
    }
    for (const Step& step : spec.steps) this->step(step);
  }

  void probe(const std::string& what, const std::optional<Probe>& probe) {
    if (!probe) return;
    line("  " + what + " by " +
         (probe->kind == Probe::Kind::Exec ? join(texts(probe->command), " ")
                                           : probe->port.value + probe->path.value) +
         " every " + std::to_string(probe->period) + "s, within " + std::to_string(probe->timeout) + "s");
  }

  void step(const Step& step) {
    container("step", step);
    ++depth_;
    if (step.ref.given())
      line("ref " + (step.ref.resolver.empty() ? step.ref.name.value : "by " + step.ref.resolver.value) +
           (step.action ? "" : ", not loaded"));
    for (const Param& param : step.params) line("param " + param.name.value + " = " + value_of(param.value));
    for (const ResultSpec& result : step.results) result_line(result);
    for (const When& when : step.when) line("when " + condition(when));
    if (!step.on_error.empty()) line("onError " + step.on_error.value);
    if (!step.timeout.empty()) line("timeout " + step.timeout.value);
    if (!step.stdout_path.empty()) line("stdout to " + step.stdout_path.value);
    if (!step.stderr_path.empty()) line("stderr to " + step.stderr_path.value);
    --depth_;
  }

  void container(const std::string& what, const Container& container) {
    line(what + (container.name.empty() ? "" : " " + container.name.value) +
         (container.image.empty() ? "" : ": " + short_text(container.image)));
    ++depth_;
    if (!container.command.empty()) line("command " + join(texts(container.command), " "));
    if (!container.args.empty()) line("args " + join(texts(container.args), " "));
    if (!container.script.empty())
      line("script of " + std::to_string(std::ranges::count(container.script.value, '\n')) + " lines, " +
           short_text(container.script.value.substr(0, container.script.value.find('\n'))));
    if (!container.working_dir.empty()) line("in " + container.working_dir.value);
    for (const EnvVar& variable : container.env)
      line("env " + variable.name.value + " = " +
           (variable.from == EnvVar::From::Value
                ? "\"" + short_text(variable.value) + "\""
                : "from " + variable.object.value + " " + variable.key.value));
    for (const EnvFrom& from : container.env_from)
      line("env from " + std::string(from.secret ? "secret " : "configMap ") + from.name.value);
    for (const VolumeMount& mount : container.volume_mounts)
      line("mount " + mount.name.value + " at " + mount.mount_path.value +
           (mount.sub_path.empty() ? "" : " / " + mount.sub_path.value));
    for (const WorkspaceUsage& usage : container.workspaces)
      line("workspace " + usage.name.value +
           (usage.mount_path.empty() ? "" : " at " + usage.mount_path.value));
    if (container.security.run_as_user) line("user " + std::to_string(*container.security.run_as_user));
    --depth_;
  }

  std::string out_;
  size_t depth_ = 0;
};

}  // namespace

std::string summary(const Plan& plan) {
  return Summary().of(plan);
}
std::string summary(const StepAction& action) {
  return Summary().of(action);
}

}  // namespace kiln::dag::testing
