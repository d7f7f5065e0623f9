#include "registry/store/snapshots.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/named_lock.h"
#include "base/text.h"
#include "registry/layers/lower_layers.h"
#include "registry/layers/unpack.h"
#include "registry/store/leases.h"
#include "registry/store/store.h"

namespace kiln::registry {
namespace {

// snapshots/sha256/<hex>/fs is the folder. Beside it `implied`: its folders that no entry describes, each
// ended by a zero byte; `fits-<chain ID>`: on top of these layers nothing else is meant by them. And `boot`:
// the boot in which it was unpacked. A snapshot is not synced when it is made (that would cost more than
// unpacking it); so one that an earlier boot left may be torn, and is unpacked anew, unless it was synced
// meanwhile: then `boot` is gone.
constexpr auto kSyncAfter = std::chrono::minutes(2);

// Usable as it stands? Called under the snapshot's lock.
bool is_sound(const fs::path& snapshot) {
  struct stat st;
  if (::lstat((snapshot / "fs").c_str(), &st) != 0) return false;
  if (::stat((snapshot / "boot").c_str(), &st) != 0) return true;
  if (read_file(snapshot / "boot", 256) != boot_id()) return false;
  if (::time(nullptr) - st.st_mtime > std::chrono::seconds(kSyncAfter).count()) {
    const UniqueFd fd = open_file(snapshot, O_RDONLY | O_DIRECTORY);
    if (::syncfs(fd.get()) == 0) ::unlink((snapshot / "boot").c_str());
  }
  return true;
}

// A layer, and what it stands on when it is unpacked.
struct Unpacking {
  const Descriptor& layer;
  const Digest& diff_id;
  const Digest& id;  // its snapshot's: the diff ID, or a chain ID
  std::vector<fs::path> lower;
};

// Returns the implied folders.
std::vector<std::string> unpack_into(const Store& store, const Unpacking& what, const fs::path& target) {
  const Descriptor& layer = what.layer;
  const UniqueFd blob = store.open(layer.digest);
  UnpackOptions options;
  options.privileged = may_unpack_privileged();
  options.lower = what.lower;
  const LayerReader read = [&](char* buffer, size_t size) -> size_t {
    for (;;) {
      const ssize_t count = ::read(blob.get(), buffer, size);
      if (count >= 0) return static_cast<size_t>(count);
      if (errno != EINTR) throw_errno("cannot read " + store.blob_path(layer.digest).string());
    }
  };
  try {
    return unpack_layer(read, target, layer.digest, what.diff_id, options).implied;
  } catch (const ReliesOnLower&) {
    throw;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Invalid) store.heal(layer.digest);  // the next pull brings it anew
    throw error.because("cannot unpack layer " + layer.digest.short_text());
  }
}

// The lock of one snapshot, whose file goes with the snapshot. Without `wait`, an empty one when somebody
// else has it.
UniqueFd lock_snapshot(const fs::path& file, Wait wait) {
  return lock_named(file, O_RDWR | O_CREAT, 0644, wait);
}

uint64_t bytes_below(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error); it != fs::recursive_directory_iterator();
       it.increment(error)) {
    struct stat st;
    if (::lstat(it->path().c_str(), &st) == 0 && S_ISREG(st.st_mode))
      bytes += static_cast<uint64_t>(st.st_size) / st.st_nlink;
    if (error) break;
  }
  return bytes;
}

fs::path place_of(const Store& store, const Digest& id) {
  return store.root() / "snapshots" / id.algorithm() / id.encoded();
}

fs::path prepare_one(const Store& store, const Unpacking& what) {
  const fs::path snapshot = place_of(store, what.id), folder = snapshot.parent_path();
  make_dirs(folder);
  const UniqueFd lock = lock_snapshot(snapshot.native() + ".lock", Wait::Yes);
  if (is_sound(snapshot)) return snapshot / "fs";

  // Whoever holds the lock may clear away what a killed process left.
  const fs::path partial = snapshot.native() + ".partial";
  remove_tree(partial);
  remove_tree(snapshot);
  make_dirs(partial / "fs");
  OnExit cleanup([&] { try_remove_tree(partial); });
  std::string implied;
  for (const std::string& path : unpack_into(store, what, partial / "fs")) implied += path + '\0';
  write_file(partial / "implied", implied);
  write_file(partial / "boot", boot_id());
  if (::rename(partial.c_str(), snapshot.c_str()) != 0) throw_errno("cannot make " + snapshot.string());
  cleanup.dismiss();
  return snapshot / "fs";
}

// Whether the layer's folders are on top of `lower` (the chain `on`) what they are by themselves. Found out
// once.
bool fits(const fs::path& snapshot, const Digest& on, const std::vector<fs::path>& lower) {
  const fs::path mark = snapshot / ("fits-" + std::string(on.encoded()));
  if (::access(mark.c_str(), F_OK) == 0) return true;
  std::string implied;
  try {
    implied = read_file(snapshot / "implied");
  } catch (const Error& error) {  // an older Kiln made it and did not say
    if (error.kind() != ErrorKind::NotFound) throw;
    return false;
  }
  const LowerLayers layers(lower);
  const bool privileged = may_unpack_privileged();
  for (size_t at = 0; at < implied.size();) {
    const std::string path = implied.c_str() + at;
    if (layers.differs_from_usual(path, privileged)) return false;
    at += path.size() + 1;
  }
  write_file(mark, "");
  return true;
}

// overlayfs takes no folder twice; the upper of two equal layers covers all of the lower one.
void put_on_top(std::vector<fs::path>& folders, fs::path folder) {
  std::erase(folders, folder);
  folders.insert(folders.begin(), std::move(folder));
}

}  // namespace

Snapshots::Snapshots(const Store& store) : store_(store) {}

std::vector<std::filesystem::path> Snapshots::prepare(const Image& image, Lease* lease) const {
  const auto& layers = image.manifest.layers;
  const auto& diff_ids = image.config.diff_ids;
  if (layers.size() != diff_ids.size())
    throw Error(ErrorKind::Invalid,
                "the image " + image.descriptor.digest.short_text() + " has " +
                    std::to_string(layers.size()) + " layers but " + std::to_string(diff_ids.size()) +
                    " diff IDs",
                "it is broken or no container image; pull or build it again");
  const std::vector<Digest> chains = chain_ids(diff_ids);
  if (lease) {
    std::vector<Digest> all = chains;
    all.insert(all.end(), diff_ids.begin(), diff_ids.end());
    lease->add(image.descriptor.digest, all);
  }
  const std::vector<fs::path> alone = prepare_each(image, chains);
  std::vector<fs::path> folders;
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool stands = !alone[i].empty() && (i == 0 || fits(alone[i].parent_path(), chains[i - 1], folders));
    put_on_top(folders,
               stands ? alone[i] : prepare_one(store_, {layers[i], diff_ids[i], chains[i], folders}));
  }
  return folders;
}

// Each layer by itself, base first. Empty for one that relies on those below it.
std::vector<std::filesystem::path> Snapshots::prepare_each(const Image& image,
                                                           const std::vector<Digest>& chains) const {
  const auto& layers = image.manifest.layers;
  const auto& diff_ids = image.config.diff_ids;
  const size_t count = layers.size();
  std::vector<fs::path> folders(count);
  std::vector<std::exception_ptr> failures(count);
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) {
      try {
        if (i > 0 && fs::exists(place_of(store_, chains[i]))) continue;  // found out before
        folders[i] = prepare_one(store_, {layers[i], diff_ids[i], diff_ids[i], {}});
      } catch (const ReliesOnLower&) {
        if (i == 0) failures[i] = std::current_exception();
      } catch (...) {
        failures[i] = std::current_exception();
        next = count;
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    const size_t threads = std::min<size_t>(count, std::max(2u, std::thread::hardware_concurrency()));
    for (size_t i = 1; i < threads; ++i) helpers.emplace_back(work);
    work();
  }
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
  return folders;
}

std::optional<uint64_t> Snapshots::remove(const Digest& id,
                                          const std::function<bool(const struct stat&)>& goes,
                                          bool trial) const {
  const fs::path folder = store_.root() / "snapshots" / id.algorithm();
  const std::string name(id.encoded());
  const fs::path lock_file = folder / (name + ".lock"), partial = folder / (name + ".partial");
  const UniqueFd lock = lock_snapshot(lock_file, Wait::No);
  struct stat st;
  if (!lock || ::stat((folder / name).c_str(), &st) != 0 || !goes(st)) return std::nullopt;
  const uint64_t bytes = bytes_below(folder / name / "fs");
  if (trial) return bytes;
  remove_tree(partial);
  if (::rename((folder / name).c_str(), partial.c_str()) != 0)
    throw_errno("cannot remove " + (folder / name).string());
  remove_tree(partial);
  ::unlink(lock_file.c_str());
  return bytes;
}

}  // namespace kiln::registry
