#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <stop_token>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"

namespace kiln::registry {

class Store;

struct CollectOptions {
  // What was written or kept (Store::keep) more recently stays: a push or build under way may be about to
  // name it. Less than the ten minutes of Store::keep's precision makes pushes under way start anew.
  Duration grace = std::chrono::hours(1);
  bool dry_run = false;
  std::vector<Digest> keep;  // more that must stay, each with all it leads to
  std::stop_token stop{};
  const Clock* clock = &system_clock();
};

struct CollectReport {
  uint64_t blobs = 0, snapshots = 0, quarantined = 0;  // removed, or that would be
  uint64_t bytes = 0;                                  // of all of them
  uint64_t young = 0;                                  // blobs that nothing leads to, spared by the grace
  std::set<Digest> missing;                            // what a manifest leads to and is not here
};

// Removes what neither a name, a nameless entry (what was pushed to the embedded registry) nor a lease leads
// to: blobs, unpacked layers, what lies in quarantine, abandoned uploads; and that a repository of the
// embedded registry received a blob, when no manifest of it needs it. Online: pushes, pulls, builds and
// sandboxes go on, in any process; each blob is looked at again under the locks right before it goes. Killed
// at any moment, it leaves the store whole. Throws Infrastructure; Cancelled on `stop`.
CollectReport collect(Store& store, const CollectOptions& options = {});

}  // namespace kiln::registry
