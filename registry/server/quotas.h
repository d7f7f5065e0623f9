#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "registry/server/policy_settings.h"
#include "registry/server/registry_hooks.h"
#include "registry/store/repository_blobs.h"

namespace kiln::registry {

// What repositories may hold (QuotaRule). A push that is let in counts at once, together with all others that
// are under way, so that many at the same moment do not go beyond the rule. Thread-safe; in one process: what
// others do to the store is the owner's own hand.
class Quotas {
 public:
  // Store and policies must outlive this, and this what admit() has returned.
  Quotas(const Store& store, const PolicySettings& policies)
      : store_(store), policies_(policies), blobs_(store) {}

  // The refusal of so many bytes more than there are.
  std::optional<RegistryHooks::Refusal> refuse(const std::string& repository, uint64_t more);
  // The refusal of a manifest, or what makes it count until its entry is in the store's index.
  RegistryHooks::Admission admit(const std::string& repository, const Descriptor& manifest,
                                 std::string_view content);

 private:
  using Refusal = RegistryHooks::Refusal;
  class Reservation;

  std::set<Digest> held_by(const std::string& repository);
  std::optional<Refusal> beyond(const QuotaRule& rule, const std::string& repository,
                                const std::set<Digest>& blobs, uint64_t more) const;

  const Store& store_;
  const PolicySettings& policies_;
  RepositoryBlobs blobs_;
  std::mutex mutex_;
  std::map<std::string, std::multiset<Digest>> under_way_;  // what pushes bring, by repository
};

}  // namespace kiln::registry
