#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/clock.h"

namespace kiln::cli {

// What the live list shows of a run: the part of it that moves. What has ended is history and stands above.
struct LiveList {
  struct Task {
    std::string label;
    std::string note;  // "retry 1", or empty
    std::string step;  // that runs
    Time started{};
    std::deque<std::string> tail;  // its last lines, printable, oldest first; at most kTail
    std::string partial;           // the line that is not complete yet
  };
  static constexpr size_t kTail = 6;

  std::string run;  // its id
  Time started{};
  size_t tasks = 0, ended = 0, failed = 0;
  std::vector<Task> running;  // in the order of their start

  Task* find(std::string_view label);
};

struct TerminalSize {
  size_t columns = 80, rows = 24;
};

// Adds output to a task's tail.
void add_output(LiveList::Task& task, std::string_view bytes);

// The lines to show now, each at most `size.columns` wide, at most `size.rows - 1` of them. Pure. With
// colours (paint) where these are wanted.
std::vector<std::string> draw(const LiveList& list, Time now, TerminalSize size);

}  // namespace kiln::cli
