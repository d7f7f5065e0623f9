#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/fs.h"
#include "registry/store/store_index.h"

namespace kiln::registry {

class Store;

// The blobs a manifest cannot do without; layers that may lie elsewhere ("foreign") are not among them.
std::vector<Digest> required_blobs(const Manifest& manifest);

// Which blobs belong to which repository of the embedded registry. All repositories share one set of blobs
// on disk; a blob belongs to repositories that
//  - need it for a manifest of theirs, or
//  - received it: an upload or a mount leaves an empty file links/REPOSITORY/ALGORITHM-HEX in the store
//    ('/' of the name is '+'). Removed, it becomes ALGORITHM-HEX.deleted, which shows nothing, and tells what
//    the repository has on disk until collect().
// Where users have rights, it is shown in these only; elsewhere in all, but for those it was deleted from.
// Whoever lets a manifest in must see to it that all its blobs belong to the repository already, or mark it
// as sparse: a marked one gives nothing away. Thread-safe; several processes may use one store.
class RepositoryBlobs {
 public:
  enum class Shows { Own, AllButDeleted };
  explicit RepositoryBlobs(const Store& store, Shows shows = Shows::Own) : store_(store), shows_(shows) {}

  bool has(const std::string& repository, const Digest& blob);
  bool was_deleted(const std::string& repository, const Digest& blob) const;  // it may have it again
  // Whether the repository is to show it, if it is in the store.
  bool shows(const std::string& repository, const Digest& blob);
  // What is shown for that is so on disk, too, when it returns.
  void add(const std::string& repository, const Digest& blob);
  void remove(const std::string& repository, const Digest& blob);  // manifests that name it still count
  // Those that its manifests need, but for marked ones'.
  using Blobs = std::set<Digest>;
  std::shared_ptr<const Blobs> needed_by_manifests(const std::string& repository);
  // What it received, and what was deleted from it: all of it may still be on disk.
  Blobs received(const std::string& repository) const;
  // Was deleted from it, and is on disk until collect().
  void note_deleted(const std::string& repository, const Digest& blob);
  // Did some repository receive it?
  bool is_linked(const Digest& blob) const;
  // Removes the files of blobs that are gone, and of those that no manifest of the repository needs, if
  // neither the file nor the blob has been renewed since `old`.
  void prune(Time old = Time::min());

  // Annotation of a manifest's entry in the store's index: some of its blobs were not there.
  static constexpr const char* kSparse = "dev.kiln.registry.sparse";

 private:
  struct Named {
    std::shared_ptr<const StoreIndex> index;
    std::shared_ptr<const Blobs> blobs;
  };

  std::shared_ptr<const Blobs> blobs_of(const Digest& manifest);
  Blobs named_in(const StoreIndex& index, const std::string& repository, bool sparse);
  void prune(const fs::path& folder, Time old);
  fs::path links(std::string repository) const;
  fs::path link(const std::string& repository, const Digest& blob) const;

  const Store& store_;
  const Shows shows_;
  std::mutex mutex_;
  std::map<std::string, Named> repositories_;                 // as of an index
  std::map<Digest, std::shared_ptr<const Blobs>> manifests_;  // manifests do not change
};

}  // namespace kiln::registry
