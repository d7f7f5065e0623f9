#pragma once

#include <filesystem>
#include <set>
#include <span>
#include <string_view>

#include "base/clock.h"
#include "base/digest.h"
#include "base/unique_fd.h"

namespace kiln::registry {

class Store;

// What must stay in the store though no name leads to it (yet): what a pull or a build puts there, and the
// layers that a sandbox stands on. A file under leases/ that is locked; the lock ends with the process,
// however that ends, and so does the lease. Not thread-safe; movable.
class Lease {
 public:
  enum class Spares {
    Added,        // what is added to it
    AllThatIsNew  // and every blob that is written or kept (Store::keep) while it lasts: for whoever brings
                  // content
  };
  // `purpose` is a word that shows in the file's name.
  Lease(const Store& store, std::string_view purpose, Spares spares = Spares::Added);
  Lease(Lease&&) noexcept = default;
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  // Also these: a manifest or blob with all it leads to, and unpacked layers (by diff ID). Whoever adds must
  // look afterwards whether they are (still) there.
  void add(const Digest& digest, std::span<const Digest> snapshots = {});

 private:
  std::filesystem::path root_, path_;
  UniqueFd fd_;
};

// The leases of living processes, all together. Removes the files of the others. To be called under the
// sweep lock, held alone (store_blobs.h).
struct LeasedContent {
  std::set<Digest> roots, snapshots;
  Time since = Time::max();  // what is younger, stays
};
LeasedContent read_leases(const std::filesystem::path& root);

}  // namespace kiln::registry
