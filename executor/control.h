#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "executor/journal.h"

namespace kiln::executor {

// What other processes ask of a run while it goes on: files in runs/<id>/control.

// Asks the run to end: "Cancelled", "CancelledRunFinally" or "StoppedRunFinally". `run` is runs/<id>. When no
// process is running it: throws NotFound, or, if one `will_come`, leaves the request for that.
void request_cancel(const std::filesystem::path& run, const std::string& mode, bool will_come = false);

// Ends a run that nobody carries on, a pending one: as cancelled, without `finally`. Throws Failed when a
// process has just begun to.
void end_pending_run(Journal& journal, const std::filesystem::path& runs, const RunRecord& run, Time now);

// The receiving end: calls `on_cancel` with the mode, on a thread of its own, until it goes.
class ControlListener {
 public:
  // Throws Infrastructure when the folder or the pipe in it cannot be made.
  ControlListener(const std::filesystem::path& run, std::function<void(std::string mode)> on_cancel);
  ~ControlListener();
  // The run is not at its end: requests that come from now on are for whoever carries it on.
  void keep_requests() { keep_ = true; }

 private:
  bool keep_ = false;
  std::filesystem::path folder_;
  std::jthread thread_;
};

}  // namespace kiln::executor
