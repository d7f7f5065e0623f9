#include "cli/run_watch.h"

#include <optional>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "cli/tree_watch.h"

namespace kiln::cli {
namespace {

// What a run is made from: its documents, and the folders that its workspaces are.
std::vector<fs::path> watched_paths(const PlanInput& input, const std::optional<dag::Plan>& plan) {
  std::vector<fs::path> out;
  for (const std::string& file : input.files)
    if (file != "-") out.emplace_back(file);
  if (!plan) return out;
  for (const dag::WorkspaceBinding& workspace : plan->workspaces)
    if (workspace.kind == dag::WorkspaceBinding::Kind::HostFolder) out.emplace_back(workspace.folder);
  return out;
}

std::optional<dag::Plan> plan_now(Context& context, const PlanInput& input, const dag::Allowances& allowed) {
  try {
    dag::Plan plan = compile_plan(input, context);
    refuse_unsupported(plan, allowed);
    return plan;
  } catch (const Error& error) {  // the next change may put it right
    print_error(error);
    return std::nullopt;
  }
}

// Runs the plan; true when a change ended it.
bool run_until_change(Context& context, const dag::Plan& plan, PipelineRunOptions options, TreeWatch& watch) {
  std::stop_source stop, no_more;
  bool changed = false;
  const std::stop_callback on_interrupt(context.stop(), [&] { stop.request_stop(); });
  {
    std::jthread watcher([&] {
      changed = watch.wait(no_more.get_token(), true);
      if (changed) stop.request_stop();
    });
    const OnExit end_watching([&] { no_more.request_stop(); });
    options.stop = stop.get_token();
    try {
      run_plan(context, plan, options);
    } catch (const Error& error) {
      print_error(error);
    }
  }
  return changed;
}

}  // namespace

void run_and_watch(Context& context, const PlanInput& input, const PipelineRunOptions& options,
                   const dag::Allowances& allowed) {
  for (const std::string& file : input.files)
    if (file == "-") throw Error(ErrorKind::Usage, "standard input cannot be watched", "name a file");
  const std::stop_token interrupted = context.stop();
  while (!interrupted.stop_requested()) {
    const std::optional<dag::Plan> plan = plan_now(context, input, allowed);
    // Made before the run, so that nothing is missed while it goes on.
    TreeWatch watch(watched_paths(input, plan));
    if (plan && run_until_change(context, *plan, options, watch)) {
      say("changed: starting again");
      continue;
    }
    if (interrupted.stop_requested()) break;
    TreeWatch idle(watched_paths(input, plan));
    say("waiting for changes" +
        std::string(idle.watches_all() ? "" : " (there are too many folders: some are not watched)") +
        "; Ctrl-C ends");
    if (idle.wait(interrupted, false) && can_redraw()) write_words("\033[H\033[2J");
  }
  context.exit_code = exit_code(ErrorKind::Cancelled);
}

}  // namespace kiln::cli
