#include "cli/transfer_progress.h"

#include "cli/terminal.h"

namespace kiln::cli {

TransferProgress::TransferProgress() : list_(system_clock().now()) {
  if (!can_redraw()) return;
  screen_.emplace([this](TerminalSize size) {
    const std::lock_guard lock(mutex_);
    return list_.draw(system_clock().now(), size);
  });
}

registry::TransferObserver TransferProgress::observer() {
  return [this](const registry::TransferEvent& event) {
    std::string line;
    {
      const std::lock_guard lock(mutex_);
      line = list_.take(event, system_clock().now());
    }
    if (!screen_) {
      if (!line.empty()) say(line);
    } else if (!line.empty()) {
      screen_->print_above(std::move(line));
    } else {
      screen_->changed();
    }
  };
}

std::string TransferProgress::finish() {
  screen_.reset();
  return list_.summary(system_clock().now());
}

}  // namespace kiln::cli
