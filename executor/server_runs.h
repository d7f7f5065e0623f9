#pragma once

#include <functional>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>

#include "base/error.h"
#include "executor/driver.h"
#include "executor/journal.h"
#include "executor/worker_pool.h"

namespace kiln::executor {

// The runs that a `kiln serve` owns, one thread each, so many at once; those beyond wait in the journal.
// Thread-safe.
class ServerRuns {
 public:
  // `problem` hears of runs that could not be carried on (disk, database); such a run is tried again by the
  // next look(). `observer` hears of many runs at once.
  ServerRuns(Journal& journal, Driver& driver, RunObserver& observer,
             std::function<void(const RunRecord&, const Error&)> problem, size_t at_once = 64);
  ~ServerRuns() { leave(); }

  // Starts or carries on every unfinished run of the server's that is not under way.
  void look();
  // Leaves all runs where they are, to be carried on by the next server. Blocks until their pods have ended;
  // afterwards look() does nothing.
  void leave();

 private:
  void work(const RunRecord& run);
  void carry_on(const RunRecord& run);

  Journal& journal_;
  Driver& driver_;
  RunObserver& observer_;
  std::function<void(const RunRecord&, const Error&)> problem_;
  std::stop_source leave_;

  std::mutex mutex_;
  std::set<std::string> known_;    // under way or waiting for a thread
  WorkerPool<RunRecord> workers_;  // last: joined before what they use goes
};

}  // namespace kiln::executor
