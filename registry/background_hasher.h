#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/digest.h"

namespace kiln::registry {

// A Hasher that can work while its owner receives and writes: hashing costs more than both. The thread is
// begun with the first piece that is to be hashed later. One owner's thread at a time.
class BackgroundHasher {
 public:
  BackgroundHasher(Hasher hasher) : hasher_(std::move(hasher)) {}
  explicit BackgroundHasher(std::string_view algorithm) : hasher_(algorithm) {}
  BackgroundHasher(const BackgroundHasher&) = delete;
  BackgroundHasher& operator=(const BackgroundHasher&) = delete;
  ~BackgroundHasher();

  void update(std::string_view bytes);  // has been hashed when this returns
  // Soon, behind what came before. Returns an empty piece to fill next, with the room of an earlier one;
  // waits for it while too many are on their way.
  std::string update_later(std::string piece);
  Digest finish();  // waits; the hasher starts anew afterwards
  // Waits, and gives its thread and its room back until there is more to do.
  void rest();

 private:
  void work();
  void catch_up();

  Hasher hasher_;  // the thread's while there are pieces
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> pieces_;   // the first is being hashed
  std::vector<std::string> spares_;  // emptied
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace kiln::registry
