#pragma once

#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "registry/blob_sink.h"
#include "registry/client/session.h"
#include "registry/client/transfer_options.h"
#include "registry/image.h"

// Inside of registry/copy/copy.cc and registry_place.cc: how one blob moves.
namespace kiln::registry::detail {

class Observed {
 public:
  explicit Observed(const TransferObserver& observer) : observer_(observer) {}
  void tell(TransferEvent::Kind kind, const Descriptor& blob, uint64_t done) {
    if (!observer_) return;
    std::lock_guard lock(mutex_);
    observer_({kind, blob.digest, done, blob.size, blob.media_type});
  }

 private:
  const TransferObserver& observer_;
  std::mutex mutex_;
};

using Progress = std::function<void(uint64_t)>;  // bytes that are there

inline constexpr uint64_t kStretch = 8u << 20;  // who got so far has earned new attempts

// A status that nobody asked for. Those worth another try have been tried, or are by the caller.
Error unexpected(const Session& session, std::string_view doing, const HttpResponse& response);
bool is_retryable(const Error& error);

// All of it, committed. Carries on by Range where a connection broke; each stretch of some length has its own
// attempts, so that a large blob over a bad line arrives, and nothing is tried forever.
void download_blob(Session& session, const Descriptor& blob, BlobSink& sink, const Progress& progress,
                   std::stop_token stop);

bool has_blob(Session& session, const Descriptor& blob, std::stop_token stop);
// Has the registry take it over from one of its other repositories.
bool mount_blob(Session& session, const Descriptor& blob, const std::vector<std::string>& repositories,
                std::stop_token stop);
// All of it. Carries on behind what has arrived, as download_blob; what is given up is taken back.
// `verify` throws when the bytes are not the blob's; asked after the registry refused them.
void upload_blob(Session& session, const Descriptor& blob, const FilePart& part,
                 const std::function<void()>& verify, const Progress& progress, std::stop_token stop);

// Calls `work` for every item, on up to `threads` threads. The first failure stops the others and is thrown.
void for_each_parallel(std::span<const Descriptor> items, int threads, std::stop_token stop,
                       const std::function<void(const Descriptor&, std::stop_token)>& work);

}  // namespace kiln::registry::detail
