#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/pipeline_run.h"
#include "cli/stored_run.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "executor/options_json.h"
#include "executor/replayed_pod.h"
#include "registry/images.h"
#include "steps/step_shell.h"

namespace kiln::cli {
namespace {

struct ShellOptions {
  std::string run, place;
  std::vector<std::string> command;
  PipelineRunOptions allowed;  // beside what the run was; network "": the run's
};

// What the run was given, and what the flags add.
executor::RunOptions allowed(const executor::Journal& journal, const std::string& run,
                             PipelineRunOptions flags) {
  executor::RunOptions out = executor::options_from(journal.options(run));
  const bool other_network = !flags.network.empty();
  if (!other_network) flags.network = "host";
  const executor::RunOptions added = run_options(flags);
  if (other_network) out.network = added.network;
  out.allow_host_image |= added.allow_host_image;
  out.allow_privileged |= added.allow_privileged;
  out.host_paths.insert(out.host_paths.end(), added.host_paths.begin(), added.host_paths.end());
  return out;
}

// A TaskRun of a run or of a pipeline inside it.
struct TaskRunPlace {
  StoredRun run;
  executor::TaskRunId id;
};

std::optional<TaskRunPlace> find_task_run(const executor::Journal& journal, StoredRun run,
                                          const std::string& label, std::vector<std::string>& names,
                                          const std::string& prefix = "") {
  std::optional<executor::TaskRunId> found;
  for_each_task_run(run.plan, run.state, [&](size_t i, size_t k, const std::string& name) {
    names.push_back(prefix + name);
    if (prefix + name == label && i < run.state.tasks.size()) found = executor::TaskRunId{i, k};
  });
  if (found) return TaskRunPlace{std::move(run), *found};
  for (const auto& [task, child] : children_of(journal, run.record.id))
    if (auto deeper = find_task_run(journal, load_run(journal, child.id), label, names, prefix + task + "/"))
      return deeper;
  return std::nullopt;
}

// What failed is what people want to look at.
size_t step_to_show(const executor::TaskRunState& task, size_t steps) {
  for (size_t i = 0; i < task.steps.size() && i < steps; ++i)
    if (task.steps[i].exit_code != 0 && task.steps[i].reason != "Continued") return i;
  return steps - 1;
}

size_t step_named(const steps::PodSpec& pod, const std::string& name) {
  const auto step = std::ranges::find(pod.steps, name, &steps::StepSpec::name);
  if (step != pod.steps.end()) return static_cast<size_t>(step - pod.steps.begin());
  std::vector<std::string> names;
  for (const steps::StepSpec& one : pod.steps) names.push_back(one.name);
  throw Error(ErrorKind::NotFound, "there is no step \"" + name + "\"", "it has: " + join(names, ", "));
}

bool is_run(const executor::Journal& journal, const std::string& name) {
  try {
    journal.find(name);
    return true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;
    return false;
  }
}

// The run may be left out: what names none is a task of the last one, and what follows is the command.
void take_last_run(ShellOptions& options) {
  if (!options.place.empty()) options.command.insert(options.command.begin(), options.place);
  options.place = std::exchange(options.run, "last");
}

void shell(ShellOptions options, Context& context) {
  const executor::Journal journal(context.dirs().database());
  std::string no_run;
  if (!is_run(journal, options.run)) {
    no_run = options.run;
    take_last_run(options);
  }
  const StoredRun outermost = load_run(journal, options.run);
  std::vector<std::string> names;
  std::string step;
  auto place = find_task_run(journal, outermost, options.place, names);
  if (const size_t slash = options.place.rfind('/'); !place && slash != std::string::npos) {
    step = options.place.substr(slash + 1);
    place = find_task_run(journal, outermost, options.place.substr(0, slash), names);
  }
  if (options.place.empty())
    throw Error(ErrorKind::Usage, "run " + outermost.record.id + ": of which task?",
                "it has: " + join(names, ", "));
  if (!place) {
    const auto near = nearest(options.place, names);
    throw Error(ErrorKind::NotFound,
                "run " + outermost.record.id + " has no task " + options.place +
                    (no_run.empty() ? "" : ", and there is no run of that name"),
                near ? "did you mean `" + *near + "`?" : "it has: " + join(names, ", "));
  }
  const StoredRun& run = place->run;
  const executor::TaskRunState& task = run.state.tasks[place->id.task].run(place->id.run);
  if (run.plan.tasks[place->id.task].kind != dag::PlannedTask::Kind::Task)
    throw Error(ErrorKind::Invalid, options.place + " is no Task: it has no steps");
  if (task.started == Time{} || task.phase == executor::Phase::Skipped)
    throw Error(ErrorKind::Invalid, options.place + " has not run: there is no sandbox to look into");
  const executor::ReplayedPod pod(run.record, run.plan, run.state, place->id, context.dirs(),
                                  allowed(journal, outermost.record.id, options.allowed),
                                  outermost.record.id);
  for (const std::string& note : pod.notes()) say("note: " + note);
  if (!pod.spec().sidecars.empty()) say("note: the sidecars of " + options.place + " do not run here");
  const size_t index =
      step.empty() ? step_to_show(task, pod.spec().steps.size()) : step_named(pod.spec(), step);
  if (options.command.empty()) say("step " + pod.spec().steps[index].name + " of " + options.place);
  // A Ctrl-C in the shell is the shell's; what comes here is a signal to kiln, or no terminal is there.
  const std::stop_token stop = context.stop();
  const int code = steps::run_step_shell(context.runtime(), context.images(), pod_options(context),
                                         pod.spec(), index, options.command, stop);
  context.exit_code = stop.stop_requested() ? 130 : code;
}

}  // namespace

void add_shell(CLI::App& app, Context& context) {
  auto options = std::make_shared<ShellOptions>();
  CLI::App* verb = app.add_subcommand(
      "shell",
      "Open the sandbox of a step as it was\n\n"
      "  kiln shell test                   of the last run: the step that failed, else the last\n"
      "  kiln shell RUN build/compile -- env\n");
  verb->add_option("run", options->run, "Run; left out, or \"last\": the last")->required();
  verb->add_option("task", options->place, "TASK or TASK/STEP, as in the run's output");
  verb->add_option("command", options->command, "After --: what to run instead of a shell");
  options->allowed.network.clear();
  verb->add_option("--network", options->allowed.network, "host, private or none; else as the run had it");
  add_allowance_options(*verb, options->allowed);
  verb->callback([options, &context] { shell(*options, context); });
}

}  // namespace kiln::cli
