#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "registry/policy_settings.h"

namespace kiln::registry {

class Store;
class StoreIndex;

struct Expired {
  std::string repository;
  std::string what;  // a tag, or a digest
  bool operator==(const Expired&) const = default;
};

// Which tags and untagged manifests the rules let go now. Pure but for the ages of manifests, which are those
// of their files: the store renews them when somebody asks for one (Store::keep). A manifest stays as long as
// a tag leads to it, also through an index, and for as long as the one it is about (its `subject`) is there.
std::vector<Expired> expired(const Store& store, const StoreIndex& index, const PolicySettings& policies,
                             Time now);

// Removes their entries; what else was named meanwhile stays. `kiln image gc` removes the blobs. Returns what
// went. Throws as Store::update.
std::vector<Expired> retain(Store& store, const PolicySettings& policies, Time now);

}  // namespace kiln::registry
