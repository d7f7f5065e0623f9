#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "registry/server/policy_settings.h"
#include "registry/server/registry_hooks.h"
#include "registry/store/repository_blobs.h"

namespace kiln::registry {

// What repositories may have on disk (QuotaRule): manifests, what they need, what was received or deleted and
// is still there, and uploads under way, also those that an earlier process has left. A push that is let in
// counts at once, together with all others that are under way, so that many at the same moment do not go
// beyond the rule. Thread-safe; in one process: what others do to the store is the owner's own hand.
class Quotas {
 public:
  // Store and policies must outlive this, and this what its functions have returned.
  Quotas(const Store& store, const PolicySettings& policies);

  // The refusal of so many bytes more than there are.
  std::optional<RegistryHooks::Refusal> refuse(const std::string& repository, uint64_t more);
  // The refusal of a manifest, or what makes it count until its entry is in the store's index.
  RegistryHooks::Admission admit(const std::string& repository, const Descriptor& manifest,
                                 std::string_view content);
  // Also notes that the repository has received the blob.
  RegistryHooks::Admission mount(const std::string& repository, const Digest& blob);
  // RegistryHooks::count_upload(). Null: no rule means the repository.
  std::unique_ptr<RegistryHooks::UploadCount> count_upload(const std::string& repository,
                                                           const std::string& id, uint64_t size);
  // A manifest went from the repository.
  void deleted(const std::string& repository, const Digest& manifest);

 private:
  using Refusal = RegistryHooks::Refusal;
  class Reservation;
  class OneUpload;

  struct UnderWay {
    std::multimap<Digest, uint64_t> blobs;  // what pushes bring, with its size
    uint64_t receiving = 0;                 // by uploads of this process
    std::set<std::string> left;             // uploads that earlier processes have left
    // What the rest was when it was last read, or more: a push adds to it, what goes is not taken away.
    std::optional<uint64_t> held{};
  };
  struct Held {
    uint64_t bytes = 0, unneeded = 0;  // the second are part of the first
  };

  // Under the mutex, as are those below.
  std::shared_ptr<UnderWay> under_way_of(const std::string& repository);
  Held read(const std::string& repository, UnderWay& under_way, const std::vector<Digest>& brings);
  std::optional<Refusal> beyond(const QuotaRule& rule, const std::string& repository, UnderWay& under_way,
                                uint64_t more);
  std::optional<Refusal> beyond(const QuotaRule& rule, const std::string& repository, UnderWay& under_way,
                                uint64_t more, const std::vector<Digest>& brings);

  const Store& store_;
  const PolicySettings& policies_;
  RepositoryBlobs blobs_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<UnderWay>> repositories_;
};

}  // namespace kiln::registry
