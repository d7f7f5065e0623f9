#include "registry/store/collect.h"

#include <algorithm>
#include <cerrno>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "registry/store/leases.h"
#include "registry/store/repository_blobs.h"
#include "registry/store/snapshots.h"
#include "registry/store/store.h"
#include "registry/store/store_blobs.h"
#include "registry/store/store_walk.h"

namespace kiln::registry {
namespace {

constexpr size_t kBatch = 64;  // blobs that are removed under one hold of the locks

Time modified(const struct stat& st) {
  return Time(std::chrono::seconds(st.st_mtim.tv_sec) + std::chrono::nanoseconds(st.st_mtim.tv_nsec));
}

// What must stay.
class Marked {
 public:
  Marked(const Store& store, const CollectOptions& options) : store_(store), options_(options), walk_(store) {
    for (const Digest& digest : options.keep) walk_.follow(digest);
  }

  // What has come to be named since the last time.
  void follow_names() {
    const auto index = store_.index();
    if (index == index_) return;
    for (const StoreIndex::Entry& entry : index->entries()) walk_.follow(entry->descriptor.digest);
    index_ = index;
  }

  // Also what is leased. Under the sweep lock.
  void refresh() {
    follow_names();
    leased_ = read_leases(store_.root());
    for (const Digest& digest : leased_.roots) walk_.follow(digest);
  }

  bool holds(const Digest& digest) const { return walk_.blobs().contains(digest); }
  bool holds_snapshot(const Digest& diff_id) const {
    return walk_.snapshots().contains(diff_id) || leased_.snapshots.contains(diff_id);
  }
  Time young_since() const { return std::min(leased_.since, options_.clock->now() - options_.grace); }
  bool is_young(const struct stat& st) const { return modified(st) >= young_since(); }
  const std::set<Digest>& missing() const { return walk_.missing(); }

 private:
  const Store& store_;
  const CollectOptions& options_;
  ContentWalk walk_;
  std::shared_ptr<const StoreIndex> index_;
  LeasedContent leased_;
};

class Collection {
 public:
  Collection(Store& store, const CollectOptions& options)
      : store_(store), options_(options), marked_(store, options) {}

  CollectReport run() {
    marked_.follow_names();  // most of the reading, while nobody waits
    locked([&] { marked_.refresh(); });
    for (const char* algorithm : {"sha256", "sha512"}) {
      sweep_blobs(algorithm);
      sweep_snapshots(algorithm);
      sweep_quarantine(algorithm);
    }
    if (!options_.dry_run) {
      RepositoryBlobs(store_).prune(marked_.young_since());
      store_.remove_abandoned_uploads();
    }
    report_.missing = marked_.missing();
    return std::move(report_);
  }

 private:
  template <class Work>
  void locked(const Work& work) {
    const FileLock names = store_.lock_names();
    const FileLock sweep = detail::lock_sweep(store_.root(), FileLock::Mode::Exclusive);
    work();
  }

  // The digests that files of a folder are named by.
  std::vector<Digest> digests_in(const fs::path& folder, std::string_view algorithm) {
    std::vector<Digest> out;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder, none))
      if (auto digest = Digest::parse(std::string(algorithm) + ":" + entry.path().filename().string()))
        out.push_back(std::move(*digest));
    return out;
  }

  void check_stop() const {
    if (options_.stop.stop_requested()) throw Error(ErrorKind::Cancelled, "the collection was cancelled");
  }

  void sweep_blobs(const char* algorithm) {
    std::vector<Digest> candidates = digests_in(store_.root() / "blobs" / algorithm, algorithm);
    std::erase_if(candidates, [&](const Digest& digest) { return marked_.holds(digest); });
    for (size_t at = 0; at < candidates.size(); at += kBatch) {
      check_stop();
      locked([&] {
        marked_.refresh();
        for (size_t i = at; i < std::min(at + kBatch, candidates.size()); ++i) sweep_blob(candidates[i]);
      });
    }
  }

  void sweep_blob(const Digest& digest) {
    struct stat st;
    if (marked_.holds(digest) || ::stat(store_.blob_path(digest).c_str(), &st) != 0) return;
    if (marked_.is_young(st)) {
      ++report_.young;
      return;
    }
    if (!options_.dry_run) store_.remove_blob(digest);
    ++report_.blobs;
    report_.bytes += static_cast<uint64_t>(st.st_size);
  }

  void sweep_snapshots(const char* algorithm) {
    for (const Digest& diff_id : digests_in(store_.root() / "snapshots" / algorithm, algorithm)) {
      check_stop();
      if (marked_.holds_snapshot(diff_id)) continue;
      const auto goes = [&](const struct stat& st) {
        bool held = true;
        locked([&] {
          marked_.refresh();
          held = marked_.holds_snapshot(diff_id) || marked_.is_young(st);
        });
        return !held;
      };
      if (const auto bytes = Snapshots(store_).remove(diff_id, goes, options_.dry_run)) {
        ++report_.snapshots;
        report_.bytes += *bytes;
      }
    }
  }

  void sweep_quarantine(const char* algorithm) {
    const fs::path folder = store_.root() / "quarantine" / algorithm;
    for (const Digest& digest : digests_in(folder, algorithm)) {
      struct stat st;
      const fs::path file = folder / digest.encoded();
      if (::stat(file.c_str(), &st) != 0 || marked_.is_young(st)) continue;
      if (!options_.dry_run && ::unlink(file.c_str()) != 0 && errno != ENOENT)
        throw_errno("cannot remove " + file.string());
      ++report_.quarantined;
      report_.bytes += static_cast<uint64_t>(st.st_size);
    }
  }

  Store& store_;
  const CollectOptions& options_;
  Marked marked_;
  CollectReport report_;
};

}  // namespace

CollectReport collect(Store& store, const CollectOptions& options) {
  return Collection(store, options).run();
}

}  // namespace kiln::registry
