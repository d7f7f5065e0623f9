#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/live_list.h"

namespace kiln::cli {

// The lowest lines of the terminal on stderr, drawn again and again in place, with what is over and done with
// scrolling up above them. A thread of its own draws: at most ten times a second, once a second when nothing
// is said to have changed. Cursor and line wrapping are given back when it goes, and by restore_terminal().
// Methods may be called from any thread.
class Screen {
 public:
  // `frame` says which lines to show at the time of asking; called from the drawing thread, without a lock
  // held.
  using Frame = std::function<std::vector<std::string>(TerminalSize size)>;
  explicit Screen(Frame frame);
  ~Screen();  // the frame goes, the lines above it stay
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void changed();
  void print_above(std::string line);

 private:
  void draw_until(std::stop_token stop);
  // One write: goes over the old frame, adds what is to stand above it, draws the new one.
  void put(std::vector<std::string> above, std::vector<std::string> lines, TerminalSize size);

  Frame frame_;
  std::vector<std::string> drawn_;  // the drawing thread's
  std::mutex mutex_;                // guards what follows
  std::condition_variable_any wake_;
  std::vector<std::string> above_;
  bool dirty_ = true;
  std::jthread thread_;  // last: joined before the rest goes
};

// Gives the cursor back if a Screen has it. For whoever ends the process without ado; any thread.
void restore_terminal();

}  // namespace kiln::cli
