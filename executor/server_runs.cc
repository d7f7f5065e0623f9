#include "executor/server_runs.h"

#include "executor/options_json.h"

namespace kiln::executor {

ServerRuns::ServerRuns(Journal& journal, Driver& driver, RunObserver& observer,
                       std::function<void(const RunRecord&, const Error&)> problem, size_t at_once)
    : journal_(journal),
      driver_(driver),
      observer_(observer),
      problem_(std::move(problem)),
      at_once_(at_once) {}

void ServerRuns::leave() {
  leave_.request_stop();
  std::vector<std::jthread> threads;
  {
    const std::lock_guard lock(mutex_);
    threads.swap(threads_);
  }
  threads.clear();  // joins
}

void ServerRuns::look() {
  for (RunRecord& run : journal_.unfinished()) {
    if (run.owner != Owner::Server || !run.parent.empty()) continue;
    const std::lock_guard lock(mutex_);
    if (leave_.stop_requested() || !known_.insert(run.id).second) continue;
    waiting_.push_back(std::move(run));
    if (idle_ < waiting_.size() && threads_.size() < at_once_)
      threads_.emplace_back([this](std::stop_token stop) { work(stop); });
  }
  changed_.notify_all();
}

void ServerRuns::work(std::stop_token stop) {
  for (;;) {
    std::unique_lock lock(mutex_);
    ++idle_;
    const bool work = changed_.wait(lock, stop, [this] { return !waiting_.empty(); });
    --idle_;
    if (!work || leave_.stop_requested()) return;
    const RunRecord run = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    try {
      carry_on(run);
    } catch (const Error& error) {
      problem_(run, error);
    } catch (const std::exception& error) {
      problem_(run, Error(ErrorKind::Infrastructure, error.what()));
    }
    lock.lock();
    known_.erase(run.id);
  }
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
