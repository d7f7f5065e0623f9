#include "cli/screen.h"

#include <atomic>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "cli/display.h"
#include "cli/terminal.h"

namespace kiln::cli {
namespace {

constexpr auto kBetweenDrawings = std::chrono::milliseconds(100);
constexpr auto kAtLeast = std::chrono::seconds(1);
// The cursor and the wrapping of lines.
constexpr std::string_view kTake = "\033[?25l\033[?7l", kGiveBack = "\033[?7h\033[?25h";

std::atomic<bool> taken = false;

TerminalSize terminal_size() {
  winsize size{};
  if (::ioctl(2, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

// How many rows the old frame takes now: a terminal made narrower breaks its lines.
size_t rows_of(const std::vector<std::string>& lines, size_t columns) {
  size_t rows = 0;
  for (const std::string& line : lines)
    rows += std::max<size_t>(1, (columns_of(printable(line)) + columns - 1) / columns);
  return rows;
}

}  // namespace

void restore_terminal() {
  if (taken.exchange(false)) write_words(kGiveBack);
}

Screen::Screen(Frame frame) : frame_(std::move(frame)) {
  taken = true;
  write_words(kTake);
  thread_ = std::jthread([this](std::stop_token stop) { draw_until(stop); });
}

Screen::~Screen() {
  thread_ = {};  // joins
  put(std::exchange(above_, {}), {}, terminal_size());
  restore_terminal();
}

void Screen::changed() {
  {
    const std::lock_guard lock(mutex_);
    if (dirty_) return;
    dirty_ = true;
  }
  wake_.notify_one();
}

void Screen::print_above(std::string line) {
  {
    const std::lock_guard lock(mutex_);
    above_.push_back(std::move(line));
    dirty_ = true;
  }
  wake_.notify_one();
}

void Screen::draw_until(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::vector<std::string> above;
    {
      const std::lock_guard lock(mutex_);
      above = std::exchange(above_, {});
      dirty_ = false;
    }
    const TerminalSize size = terminal_size();
    put(std::move(above), frame_(size), size);
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, kBetweenDrawings, [] { return false; });
    wake_.wait_for(lock, stop, kAtLeast - kBetweenDrawings, [this] { return dirty_; });
  }
}

void Screen::put(std::vector<std::string> above, std::vector<std::string> lines, TerminalSize size) {
  if (above.empty() && lines == drawn_) return;
  std::string text;
  if (const size_t rows = rows_of(drawn_, size.columns); rows > 0)
    text += "\r\033[" + std::to_string(rows) + "A";
  text += "\r\033[J";
  if (!above.empty()) {  // these are for good: nothing of them may be cut off
    text += "\033[?7h";
    for (const std::string& line : above) text += line + "\n";
    text += "\033[?7l";
  }
  for (const std::string& line : lines) text += line + "\n";
  write_words(text);
  drawn_ = std::move(lines);
}

}  // namespace kiln::cli
