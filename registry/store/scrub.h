#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.h"

namespace kiln::registry {

class Store;

struct ScrubReport {
  uint64_t blobs = 0, bytes = 0;  // read
  std::vector<Digest> damaged;    // in quarantine/ now
  std::set<Digest> missing;       // what a name leads to and is not here, the damaged ones too
  std::map<Digest, std::set<std::string>> names;  // damaged or missing → the names that lead to it
};

// Reads every blob and puts those aside whose bytes are not those of their names (Store::heal). Online, on
// `threads` threads. `progress` is called from any of them, one at a time. Throws Infrastructure; Cancelled
// on `stop`.
ScrubReport scrub(const Store& store, int threads,
                  const std::function<void(uint64_t done, uint64_t total)>& progress, std::stop_token stop);

}  // namespace kiln::registry
