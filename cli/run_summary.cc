#include "cli/run_summary.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "cli/display.h"
#include "cli/stored_run.h"
#include "cli/task_words.h"
#include "cli/terminal.h"
#include "dag/resolve.h"
#include "dag/substitution.h"
#include "executor/critical_path.h"
#include "executor/secrets.h"

namespace kiln::cli {
namespace {

using executor::Phase;

constexpr size_t kLinesOfFailure = 12;
// A wait for a free slot of -j that is worth a word.
constexpr Duration kWorthAWord = std::chrono::milliseconds(100);

void show_tasks(const dag::Plan& plan, const executor::State& state,
                const std::map<std::string, int>& cached) {
  std::vector<std::vector<std::string>> rows;
  for_each_task_run(plan, state, [&](size_t i, size_t k, const std::string& label) {
    if (i >= state.tasks.size()) return;
    const executor::TaskRunState& task = state.tasks[i].run(k);
    const auto count = cached.find(label);
    std::string words;
    if (task.phase == Phase::Skipped)
      words = skip_reason_words(task.reason);
    else if (task.message.starts_with(executor::kReusedFrom))
      words = "CACHED: " + task.message;
    else if (count != cached.end() && task.phase == Phase::Succeeded)
      words = "CACHED ×" + std::to_string(count->second);
    else if (!task.retries.empty())
      words = std::to_string(task.retries.size() + 1) + " attempts";
    const bool ran = task.phase != Phase::Skipped && task.started != Time{};
    rows.push_back(
        {"  " + label, std::string(to_string(task.phase)), ran ? duration_words(task) : "", words});
  });
  write_words(table(rows));
}

std::string how_it_ended(const executor::StepRecord& step) {
  const std::string exited = "exited with code " + std::to_string(step.exit_code);
  if (step.message.empty() || step.message.starts_with(exited))
    return step.message.empty() ? exited : step.message;
  return exited + ": " + step.message;
}

bool never_began(const executor::StepRecord& step, const executor::TaskRunState& task) {
  return step.reason == task.reason && step.started == step.finished;
}

void show_end(const std::string& who, const executor::StepRecord& step, const fs::path& log) {
  const std::string said(trim(last_lines(log, kLinesOfFailure)));
  say("\n" + paint(Colour::Red, who) + " " + how_it_ended(step) + (said.empty() ? "" : "; its last lines:"));
  if (!said.empty())
    for (const std::string& line : split(said, '\n')) say("  " + printable(line));
  say("  whole log: " + log.string());
}

// The steps that failed, their last lines, and where the whole logs are; also in pipelines inside this one.
void show_failures(const executor::RunRecord& run, const dag::Plan& plan, const executor::State& state,
                   const executor::Journal& journal, const Dirs& dirs, const std::string& prefix) {
  const auto children = children_of(journal, run.id);
  for_each_task_run(plan, state, [&](size_t i, size_t k, const std::string& label) {
    if (i >= state.tasks.size() || state.tasks[i].run(k).phase != Phase::Failed) return;
    const executor::TaskRunState& task = state.tasks[i].run(k);
    const auto show = [&](const executor::StepRecord& step, const std::string& name) {
      show_end(prefix + label + " : " + name, step,
               executor::log_file(dirs, run.id, label, task.attempt, name));
    };
    for (const executor::StepRecord& step : task.steps) {
      if (step.exit_code == 0 || step.reason == "Skipped" || step.reason == "Continued") continue;
      if (never_began(step, task)) {  // there is no exit code, and no log
        say("\n" + paint(Colour::Red, prefix + label) + " failed: " + printable(task.message));
        break;
      }
      show(step, step.name);
      break;
    }
    if (task.reason.starts_with("Sidecar"))
      for (const executor::StepRecord& sidecar : task.sidecars)
        if (sidecar.reason != "Completed") show(sidecar, "sidecar-" + sidecar.name);
    if (plan.tasks[i].kind != dag::PlannedTask::Kind::Pipeline) return;
    if (const executor::RunRecord* child = newest_child(children, label)) {
      const StoredRun inner = load_run(journal, child->id);
      show_failures(inner.record, inner.plan, inner.state, journal, dirs, prefix + label + "/");
    }
  });
}

}  // namespace

std::string last_lines(const fs::path& log, size_t lines) {
  constexpr off_t kMost = 64 << 10;
  std::string text;
  try {
    const UniqueFd file = open_file(log, O_RDONLY);
    struct stat st;
    if (::fstat(file.get(), &st) != 0) return {};
    const off_t from = std::max<off_t>(0, st.st_size - kMost);
    text.resize(static_cast<size_t>(st.st_size - from));
    const ssize_t n = ::pread(file.get(), text.data(), text.size(), from);
    text.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
  } catch (const Error&) {  // it may have been deleted meanwhile
  }
  size_t at = text.size();
  for (size_t seen = 0; at > 0; --at)
    if (text[at - 1] == '\n' && at != text.size() && ++seen == lines) break;
  return text.substr(at);
}

std::string path_words(const dag::Plan& plan, const executor::State& state) {
  const std::vector<executor::PathLink> path = executor::critical_path(plan, state);
  if (path.size() < 2) return {};
  std::vector<std::string> words;
  for (const executor::PathLink& link : path)
    words.push_back(plan.tasks[link.task].name + " " + format_seconds(seconds(link.took)) +
                    (link.waited >= kWorthAWord
                         ? " (waited " + format_seconds(seconds(link.waited)) + " for its turn)"
                         : ""));
  return "critical path: " + join(words, " → ");
}

void print_summary(const executor::RunEnd& end, const dag::Plan& plan, const executor::Journal& journal,
                   const Dirs& dirs, const std::map<std::string, int>& cached) {
  const executor::State& state = end.state;
  say("");
  show_tasks(plan, state, cached);
  const bool good = state.succeeded();
  say(paint(good ? Colour::Green : Colour::Red, state.reason) + "  " + end.run.id + "  " +
      format_seconds(seconds(state.finished - state.started)) + "  " + state.message);
  if (const std::string path = path_words(plan, state); !path.empty()) say(path);
  show_failures(end.run, plan, state, journal, dirs, "");
  if (good) return;
  if (state.counts.invalid > 0 || state.reason == "CouldntGetPipelineResult")
    say("a result that is not always written can have a default: annotation "
        "kiln.dev/result-default.TASK.RESULT");
  const bool some_succeeded =
      std::any_of(state.tasks.begin(), state.tasks.begin() + static_cast<ptrdiff_t>(plan.dag_size),
                  [](const executor::TaskState& task) {
                    return task.phase == Phase::Succeeded ||
                           std::ranges::find(task.runs, Phase::Succeeded, &executor::TaskRunState::phase) !=
                               task.runs.end();
                  });
  say("run it again: kiln runs rerun " + end.run.id + (some_succeeded ? " --from-failed" : ""));
}

void print_results(const executor::RunEnd& end, const dag::Plan& plan) {
  const SecretMask secrets = executor::secrets_of(plan);
  for (const auto& [name, value] : dag::resolve_results(plan, executor::StateFacts(plan, end.state),
                                                        {end.run.id, end.run.uid, "default"}))
    print(name + "\t" + secrets.masked(dag::to_text(value)) + "\n");
}

}  // namespace kiln::cli
