#include "executor/server_runs.h"

#include "executor/options_json.h"

namespace kiln::executor {

ServerRuns::ServerRuns(Journal& journal, Driver& driver, RunObserver& observer,
                       std::function<void(const RunRecord&, const Error&)> problem, size_t at_once)
    : journal_(journal),
      driver_(driver),
      observer_(observer),
      problem_(std::move(problem)),
      workers_(at_once, [this](const RunRecord& run) { work(run); }) {}

void ServerRuns::leave() {
  leave_.request_stop();
  workers_.join();
}

void ServerRuns::look() {
  for (RunRecord& run : journal_.unfinished()) {
    if (run.owner != Owner::Server || !run.parent.empty()) continue;
    const std::lock_guard lock(mutex_);
    if (leave_.stop_requested() || !known_.insert(run.id).second) continue;
    workers_.add(std::move(run));
  }
}

void ServerRuns::work(const RunRecord& run) {
  if (leave_.stop_requested()) return;
  try {
    carry_on(run);
  } catch (const Error& error) {
    problem_(run, error);
  } catch (const std::exception& error) {
    problem_(run, Error(ErrorKind::Infrastructure, error.what()));
  }
  const std::lock_guard lock(mutex_);
  known_.erase(run.id);
}

void ServerRuns::carry_on(const RunRecord& run) {
  RunOptions options;
  dag::Plan plan;
  try {
    options = options_from(journal_.options(run.id));
    plan = journal_.plan(run.id);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Invalid) throw;
    const Event end{.kind = Event::Kind::RunFinished,
                    .at = system_clock().now(),
                    .reason = "Failed",
                    .message = error.message()};
    return journal_.append(run.id, plan, std::span(&end, 1));  // no later server would do better
  }
  options.leave = leave_.get_token();
  driver_.resume(run, plan, observer_, options);
}

}  // namespace kiln::executor
