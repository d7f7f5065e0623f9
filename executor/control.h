#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <thread>

namespace kiln::executor {

// What other processes ask of a run while it goes on: files in runs/<id>/control.

// Asks the run to end: "Cancelled", "CancelledRunFinally" or "StoppedRunFinally". `run` is runs/<id>. Throws
// NotFound when no process is running it.
void request_cancel(const std::filesystem::path& run, const std::string& mode);

// The receiving end: calls `on_cancel` with the mode, on a thread of its own, until it goes.
class ControlListener {
 public:
  ControlListener(const std::filesystem::path& run, std::function<void(std::string mode)> on_cancel);
  ~ControlListener();

 private:
  std::filesystem::path folder_;
  std::jthread thread_;
};

}  // namespace kiln::executor
