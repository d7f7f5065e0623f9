#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cli/live_list.h"
#include "registry/client.h"

namespace kiln::cli {

// The blobs of an image under way, and what became of them. Pure: events and times in, lines out. Not
// thread-safe.
class TransferList {
 public:
  explicit TransferList(Time started) : started_(started) {}

  // A line for the blob when the event ends it, else an empty one.
  std::string take(const registry::TransferEvent& event, Time now);
  // What is under way or waits, at most `size.rows - 1` lines of at most `size.columns`.
  std::vector<std::string> draw(Time now, TerminalSize size) const;

  // "3 blobs moved (42.0 MiB in 1.2 s), 2 there already, 1 mounted".
  std::string summary(Time now) const;
  nlohmann::json to_json() const;
  size_t moved() const { return moved_; }

 private:
  using Event = registry::TransferEvent;
  struct Row {
    Event last;
    Time began{};  // of its first byte
  };
  static std::string label(const Event& event);

  const Time started_;
  std::vector<Row> rows_;  // not ended yet, in the image's order
  size_t moved_ = 0, present_ = 0, mounted_ = 0, elsewhere_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace kiln::cli
