#include "registry/store/scrub.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "registry/store/repository_blobs.h"
#include "registry/store/store.h"
#include "registry/store/store_walk.h"

namespace kiln::registry {
namespace {

std::string name_of(const IndexEntry& entry) {
  return entry.name.empty() ? entry.repository + "@" + entry.descriptor.digest.text() : entry.name;
}

class Scrub {
 public:
  Scrub(const Store& store, const std::function<void(uint64_t, uint64_t)>& progress, std::stop_token stop)
      : store_(store), progress_(progress), stop_(std::move(stop)) {
    for (const char* algorithm : {"sha256", "sha512"}) {
      std::error_code none;
      for (const auto& file : fs::directory_iterator(store.root() / "blobs" / algorithm, none))
        if (auto digest = Digest::parse(std::string(algorithm) + ":" + file.path().filename().string()))
          blobs_.push_back(std::move(*digest));
    }
    for (const Digest& digest : blobs_) total_ += store.size(digest).value_or(0);
  }

  ScrubReport run(int threads) {
    {
      std::vector<std::jthread> helpers;
      for (int i = 1; i < threads; ++i) helpers.emplace_back([this] { work(); });
      work();
    }
    if (failure_) std::rethrow_exception(failure_);
    if (stop_.stop_requested()) throw Error(ErrorKind::Cancelled, "the check was cancelled");
    find_names();
    return std::move(report_);
  }

 private:
  void work() {
    for (size_t i = next_++; i < blobs_.size() && !stop_.stop_requested(); i = next_++) {
      try {
        check(blobs_[i]);
      } catch (...) {
        std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        next_ = blobs_.size();
      }
    }
  }

  void check(const Digest& digest) {
    const auto size = store_.size(digest);
    if (!size) return;  // collected meanwhile
    const bool good = store_.heal(digest, /*read_anew=*/true);
    std::lock_guard lock(mutex_);
    ++report_.blobs;
    report_.bytes += *size;
    // Not good and not in quarantine: it was collected while it was read.
    if (!good && fs::exists(store_.root() / "quarantine" / digest.algorithm() / digest.encoded()))
      report_.damaged.push_back(digest);
    if (progress_) progress_(report_.bytes, total_);
  }

  void find_names() {
    for (const StoreIndex::Entry& entry : store_.index()->entries()) {
      ContentWalk walk(store_);
      walk.follow(entry->descriptor.digest);
      const bool sparse = entry->descriptor.annotations.contains(RepositoryBlobs::kSparse);
      for (const Digest& digest : walk.missing()) {
        if (sparse && std::ranges::count(report_.damaged, digest) == 0) continue;  // it was never here
        report_.missing.insert(digest);
        report_.names[digest].insert(name_of(*entry));
      }
    }
  }

  const Store& store_;
  const std::function<void(uint64_t, uint64_t)>& progress_;
  const std::stop_token stop_;
  std::vector<Digest> blobs_;
  uint64_t total_ = 0;
  std::atomic<size_t> next_ = 0;
  std::mutex mutex_;
  ScrubReport report_;
  std::exception_ptr failure_;
};

}  // namespace

ScrubReport scrub(const Store& store, int threads,
                  const std::function<void(uint64_t done, uint64_t total)>& progress, std::stop_token stop) {
  return Scrub(store, progress, std::move(stop)).run(threads);
}

}  // namespace kiln::registry
