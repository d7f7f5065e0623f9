#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "cli/screen.h"
#include "cli/transfer_list.h"

namespace kiln::cli {

// Shows an image that moves: on a terminal a line per blob, drawn again in place, what has ended above; else
// a plain line when a blob has ended. Words go to stderr.
class TransferProgress {
 public:
  TransferProgress();
  // To be told what happens; refers to this.
  registry::TransferObserver observer();
  // Ends the display; to be called before anything else is said. TransferList's words and counts.
  std::string finish();
  const TransferList& list() const { return list_; }

 private:
  std::mutex mutex_;  // guards list_
  TransferList list_;
  std::optional<Screen> screen_;  // last: its thread asks the rest
};

}  // namespace kiln::cli
