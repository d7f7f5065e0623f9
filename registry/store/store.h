#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/fs.h"
#include "base/unique_fd.h"
#include "registry/image.h"
#include "registry/store/store_index.h"

namespace kiln::registry {

namespace detail {
class BlobFiles;
}

// One blob on its way into the store. Bytes go to a file under uploads/, hashed as they pass; commit makes
// them durable (fsync, rename, fsync of the folder) and visible at once. Not committed = never there.
// Not thread-safe.
class BlobWriter {
 public:
  BlobWriter(BlobWriter&&) noexcept;
  ~BlobWriter();
  void write(std::string_view bytes);
  std::string write_piece(std::string piece);  // as BlobSink
  uint64_t size() const;
  const std::string& id() const;  // the file's name below uploads/
  void flush();                   // what was written is on disk
  void rest();                    // for a while nothing comes: no thread, no memory
  // What was written stays for Store::resume_blob() when this goes; else it is removed.
  void suspend();
  // `expected`: throws Invalid (and discards) when the content's digest is another. A blob of that name
  // that is there already and intact stays; a damaged one is replaced.
  Digest commit(const std::optional<Digest>& expected = {});
  // commit() for a blob that Store::update() is about to name: it is sure to be found after a crash only when
  // the next update() has returned. Saves the disk one of the four waits that a pushed manifest costs.
  Digest commit_before_update(const std::optional<Digest>& expected = {});

 private:
  friend class Store;
  struct State;
  explicit BlobWriter(std::unique_ptr<State> state);
  Digest publish(const std::optional<Digest>& expected);
  std::unique_ptr<State> state_;
};

// The content store: an OCI image layout (image-spec image-layout.md) that any tool reads as it stands.
// Several processes and threads may share it; index.json changes under a file lock and is replaced whole.
// Names in index.json are `org.opencontainers.image.ref.name`: full references as the user knows them
// ("kiln/build:latest", "localhost:8080/hello:latest").
class Store {
 public:
  // Kiln's own has lock files and folders of its own beside the layout. A layout for others has nothing else
  // in it when the Store is gone. One that is there and cannot be written to is opened as ReadOnly, or not at
  // all.
  enum class Folder { Own, Exchanged, ReadOnly };
  static constexpr const char* kUploads = "uploads";  // below the root: blobs on their way
  // Makes the layout if it is not there, unless it is to be read only.
  explicit Store(std::filesystem::path root, Folder kind = Folder::Own);
  Store(Store&&) noexcept;
  ~Store();

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path blob_path(const Digest& digest) const;
  // There, and not known to be damaged: what was found so is in quarantine/.
  bool has(const Digest& digest) const;
  // As has(); and protects the blob from collect() as if it had just been written. For promises: "you need
  // not send it".
  bool keep(const Digest& digest) const;
  std::optional<uint64_t> size(const Digest& digest) const;
  UniqueFd open(const Digest& digest) const;  // throws NotFound
  // A small blob (manifest, config), verified against its digest.
  std::string read(const Digest& digest, uint64_t limit = 4u << 20) const;
  // Reads a blob of any size and throws Invalid when its bytes are not those of its name. What was found good
  // once is not read again until the file changes; of a large blob later processes know, too. A damaged blob
  // (here and in read()) goes to quarantine/, so that the next push, pull or build brings it anew.
  void verify(const Digest& digest) const;
  // verify() that answers; false, too, for a blob that is not there. `read_anew`: also what was found good.
  bool heal(const Digest& digest, bool read_anew = false) const;

  BlobWriter begin_blob(std::string_view algorithm = "sha256");
  static bool is_writer_id(std::string_view text);  // may be one, and is safe as a file name
  // A writer that was suspended, or whose process was killed, its bytes hashed again. `trusted` says how many
  // of the file's are to be kept. nullopt when there is none of that ID, or some process has it.
  std::optional<BlobWriter> resume_blob(std::string_view id, std::string_view algorithm,
                                        const std::function<uint64_t(uint64_t size)>& trusted);
  Descriptor put(std::string_view bytes, std::string_view media_type);
  void remove_blob(const Digest& digest);

  std::optional<Descriptor> resolve(std::string_view name) const;
  void tag(std::string_view name, const Descriptor& descriptor);
  bool untag(std::string_view name);
  std::vector<std::pair<std::string, Descriptor>> list() const;  // sorted by name

  // index.json as it stands, parsed again only when the file changed.
  std::shared_ptr<const StoreIndex> index() const;
  std::vector<Descriptor> entries() const;
  // Changes it under the names' lock: what `change` has edited when it returns is on disk when update() does.
  // Changes that wait for each other are written at once. Of one that throws, or would make the index too
  // large (IndexFull; what shrinks it is welcome), nothing is written.
  void update(const std::function<void(IndexEdit&)>& change);
  // Keeps all processes from changing it. Not to be held in update().
  FileLock lock_names() const;

  // Annotations of an entry: its name; the embedded registry's repository it was pushed to. Every manifest
  // that was pushed has an entry of its own without a name, so that it stays when its tag moves on.
  static constexpr const char* kRefName = "org.opencontainers.image.ref.name";
  static constexpr const char* kRepository = "dev.kiln.registry.repository";

  // Manifest and config behind a descriptor (an index is resolved for this machine's platform).
  Image load(const Descriptor& descriptor) const;

  // Removes what writers that died left under uploads/. The constructor does this, too.
  void remove_abandoned_uploads() const;

 private:
  struct Names;

  std::filesystem::path root_;
  Folder kind_;
  std::shared_ptr<detail::BlobFiles> files_;  // also of the BlobWriters, which may outlive the store
  std::unique_ptr<Names> names_;
};

}  // namespace kiln::registry
