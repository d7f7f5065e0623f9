#pragma once

#include <set>
#include <string>

#include "base/digest.h"

namespace kiln::registry {

class Store;
struct Descriptor;

// What manifests and indexes of the store lead to, gathered over several walks. Content is not verified.
// Not thread-safe.
class ContentWalk {
 public:
  explicit ContentWalk(const Store& store) : store_(store) {}

  // A manifest or index with all that it leads to; any other blob by itself. Documents are known by their
  // members. One that was followed already costs nothing. Images of an index may be missing.
  void follow(const Digest& digest) { follow(digest, /*required=*/true, 0); }

  const std::set<Digest>& blobs() const { return blobs_; }          // here or not
  const std::set<Digest>& snapshots() const { return snapshots_; }  // diff IDs of the images' layers
  const std::set<Digest>& missing() const { return missing_; }

 private:
  void follow(const Digest& digest, bool required, int depth);
  void follow_manifest(const std::string& text);
  std::string read_document(const Digest& digest, bool required);

  const Store& store_;
  std::set<Digest> followed_, blobs_, snapshots_, missing_;
};

}  // namespace kiln::registry
