#pragma once

#include <functional>
#include <mutex>
#include <span>
#include <string>

#include "registry/client.h"
#include "registry/session.h"

// Inside of registry/client.cc: how one blob moves.
namespace kiln::registry::detail {

class Observed {
 public:
  explicit Observed(const TransferObserver& observer) : observer_(observer) {}
  void tell(TransferEvent::Kind kind, const Descriptor& blob, uint64_t done) {
    if (!observer_) return;
    std::lock_guard lock(mutex_);
    observer_({kind, blob.digest, done, blob.size});
  }

 private:
  const TransferObserver& observer_;
  std::mutex mutex_;
};

// Into the store, unless it is there.
void download_blob(Session& session, Store& store, const Descriptor& blob, Observed& observed,
                   std::stop_token stop);

// HEAD → mount → upload.
void upload_blob(Session& session, const Store& store, const Descriptor& blob, const std::string& mount_from,
                 Observed& observed, std::stop_token stop);

// Calls `work` for every item, on up to `threads` threads. The first failure stops the others and is thrown.
void for_each_parallel(std::span<const Descriptor> items, int threads, std::stop_token stop,
                       const std::function<void(const Descriptor&, std::stop_token)>& work);

}  // namespace kiln::registry::detail
