#include "cli/api_client.h"
#include "cli/context.h"
#include "cli/pipeline_run.h"
#include "cli/terminal.h"
#include "executor/options_json.h"

namespace kiln::cli {
namespace {

void hand_over(ApiClient& server, const executor::RunRecord& run) {
  server.start_run(run.id);
  say("run " + run.id + " goes on at " + server.url() + "; kiln runs describe " + run.id +
      " shows how far it is");
  print(run.id + "\n");
}

}  // namespace

void detach_plan(Context& context, const dag::Plan& plan, const PipelineRunOptions& options) {
  ApiClient server(context);
  server.check();
  executor::Journal journal(context.dirs().database());
  const executor::RunRecord run =
      journal.create(plan, system_clock().now(),
                     {.owner = executor::Owner::Server, .options = executor::to_text(run_options(options))});
  try {
    hand_over(server, run);
  } catch (...) {  // another server's folders, or it has just ended: nobody has promised anything yet
    if (journal.events(run.id, plan).empty()) journal.remove(run.id);
    throw;
  }
}

void detach_stored(Context& context, executor::Journal& journal, const executor::RunRecord& run,
                   const PipelineRunOptions& options) {
  ApiClient server(context);
  server.check();
  journal.set_owner(run.id, executor::Owner::Server, executor::to_text(run_options(options)));
  hand_over(server, run);
}

}  // namespace kiln::cli
