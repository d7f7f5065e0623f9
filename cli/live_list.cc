#include "cli/live_list.h"

#include <algorithm>
#include <ranges>

#include "base/text.h"
#include "cli/display.h"
#include "cli/terminal.h"

namespace kiln::cli {
namespace {

// A line of no end must not take memory without end.
constexpr size_t kLongestLine = 4096;

std::string elapsed(Time from, Time now) {
  const auto whole =
      std::chrono::duration_cast<std::chrono::seconds>(std::max<Duration>(now - from, {})).count();
  if (whole < 60) return std::to_string(whole) + " s";
  const std::string minutes = std::to_string(whole / 60 % 60) + " min",
                    rest = std::to_string(whole % 60) + " s";
  if (whole < 3600) return minutes + " " + rest;
  return std::to_string(whole / 3600) + " h " + minutes;
}

// "▶ label  step …        12 s": the label first, the time always whole at the right end.
std::string task_line(const LiveList::Task& task, Time now, size_t columns) {
  const std::string time = elapsed(task.started, now);
  std::string words = task.label + (task.note.empty() ? "" : " (" + task.note + ")");
  if (!task.step.empty()) words += " : " + task.step;
  const size_t around = 2 + 2 + columns_of(time);
  if (columns <= around) return fit("▶ " + task.label, columns);
  words = fit(words, columns - around);
  const size_t gap = columns - 2 - columns_of(words) - columns_of(time);
  return paint(Colour::Blue, "▶ ") + words + std::string(std::min<size_t>(gap, 2), ' ') +
         paint(Colour::Dim, time);
}

std::string last_line(const LiveList& list, Time now, size_t columns) {
  std::string words = "run " + list.run + "  " + std::to_string(list.ended) + "/" +
                      std::to_string(list.tasks) + (list.tasks == 1 ? " task" : " tasks");
  if (list.failed > 0) words += ", " + std::to_string(list.failed) + " failed";
  words += "  " + elapsed(list.started, now);
  return paint(Colour::Bold, fit(words, columns));
}

}  // namespace

LiveList::Task* LiveList::find(std::string_view label) {
  const auto found = std::ranges::find(running, label, &Task::label);
  return found == running.end() ? nullptr : &*found;
}

void add_output(LiveList::Task& task, std::string_view bytes) {
  const size_t last_break = bytes.rfind('\n');
  if (last_break == std::string_view::npos) {
    task.partial += bytes.substr(0, kLongestLine - std::min(kLongestLine, task.partial.size()));
    return;
  }
  const std::string_view rest = bytes.substr(last_break + 1);
  bytes = bytes.substr(0, last_break);
  // Only the last lines are looked at, however much came.
  std::vector<std::string_view> lines;
  while (lines.size() < LiveList::kTail) {
    const size_t at = bytes.rfind('\n');
    if (at == std::string_view::npos) break;
    lines.push_back(bytes.substr(at + 1));
    bytes = bytes.substr(0, at);
  }
  const auto push = [&](std::string_view line) {
    task.tail.push_back(printable(line.substr(0, kLongestLine)));
    if (task.tail.size() > LiveList::kTail) task.tail.pop_front();
  };
  if (lines.size() < LiveList::kTail) push(task.partial + std::string(bytes.substr(0, kLongestLine)));
  for (const std::string_view line : lines | std::views::reverse) push(line);
  task.partial = rest.substr(0, kLongestLine);
}

std::vector<std::string> draw(const LiveList& list, Time now, TerminalSize size) {
  std::vector<std::string> lines;
  if (size.rows < 2 || size.columns < 2) return lines;
  const size_t room = size.rows - 2;  // for tasks: one row is the list's last line, one is the cursor's
  size_t shown = std::min(list.running.size(), room);
  if (shown < list.running.size() && shown > 0) --shown;  // "and … more"
  const size_t tails = shown == 0 ? 0 : std::min(LiveList::kTail, (room - shown) / shown);
  for (size_t i = 0; i < shown; ++i) {
    const LiveList::Task& task = list.running[i];
    lines.push_back(task_line(task, now, size.columns));
    std::vector<std::string> tail(task.tail.begin(), task.tail.end());
    if (const std::string partial = printable(task.partial); !partial.empty()) tail.push_back(partial);
    for (size_t k = tail.size() - std::min(tails, tail.size()); k < tail.size(); ++k)
      lines.push_back(paint(Colour::Dim, fit("  │ " + tail[k], size.columns)));
  }
  if (shown < list.running.size() && lines.size() < room)
    lines.push_back(
        fit("  and " + std::to_string(list.running.size() - shown) + " more running", size.columns));
  lines.push_back(last_line(list, now, size.columns));
  return lines;
}

}  // namespace kiln::cli
