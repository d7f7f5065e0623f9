#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "registry/image.h"
#include "registry/server/policy_settings.h"

namespace kiln::registry {

class Store;
class StoreIndex;

struct Expired {
  std::string repository;
  std::string tag;  // empty: the manifest itself, which no tag leads to
  Descriptor target;
  std::string text() const { return tag.empty() ? target.digest.text() : tag; }
};

// Which tags and untagged manifests the rules let go now. Pure but for the ages of manifests, which are those
// of their files: the store renews them when somebody asks for one (Store::keep). A manifest stays as long as
// a tag or a younger manifest leads to it, also through an index, and for as long as the one it is about (its
// `subject`) is there. Tags of cosign's form (sha256-HEX.sig,
// .att, .sbom) are no tags to count: they stay and go with the image they name, where the repository has it.
// What was never pushed (`kiln build`, `kiln image tag`) is the user's own and stays.
std::vector<Expired> expired(const Store& store, const StoreIndex& index, const PolicySettings& policies,
                             Time now);

// Removes their entries; looked at again under the names' lock, so that what was pushed meanwhile counts.
// `kiln image gc` removes the blobs. Returns what went. Throws as Store::update.
std::vector<Expired> retain(Store& store, const PolicySettings& policies, Time now);

}  // namespace kiln::registry
