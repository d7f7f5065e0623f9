#include "registry/server/quotas.h"

#include "base/text.h"
#include "registry/store/store.h"

namespace kiln::registry {

class Quotas::Reservation {
 public:
  // Under the mutex.
  Reservation(Quotas& quotas, std::string repository, std::vector<Digest> blobs)
      : quotas_(quotas), repository_(std::move(repository)), blobs_(std::move(blobs)) {
    quotas_.under_way_[repository_].insert(blobs_.begin(), blobs_.end());
  }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() {
    std::lock_guard lock(quotas_.mutex_);
    const auto it = quotas_.under_way_.find(repository_);
    for (const Digest& blob : blobs_) it->second.erase(it->second.find(blob));
    if (it->second.empty()) quotas_.under_way_.erase(it);
  }

 private:
  Quotas& quotas_;
  const std::string repository_;
  const std::vector<Digest> blobs_;
};

std::optional<RegistryHooks::Refusal> Quotas::beyond(const QuotaRule& rule, const std::string& repository,
                                                     const std::set<Digest>& blobs, uint64_t more) const {
  uint64_t bytes = more;
  for (const Digest& digest : blobs) bytes += store_.size(digest).value_or(0);
  if (bytes <= rule.bytes) return std::nullopt;
  return Refusal{403, "DENIED",
                 "repository " + repository + " may hold " + format_bytes(rule.bytes) +
                     "; this would make it " + format_bytes(bytes)};
}

std::optional<RegistryHooks::Refusal> Quotas::refuse(const std::string& repository, uint64_t more) {
  const QuotaRule* rule = policies_.quota_of(repository);
  if (!rule) return std::nullopt;
  return beyond(*rule, repository, held_by(repository), more);
}

// What images need, and all that was pushed as a manifest and is no image's.
std::set<Digest> Quotas::held_by(const std::string& repository) {
  std::set<Digest> held = *blobs_.needed_by_manifests(repository);
  const auto index = store_.index();
  for (const IndexEntry* entry : index->of_repository(repository))
    if (!is_manifest(entry->descriptor.media_type)) held.insert(entry->descriptor.digest);
  return held;
}

RegistryHooks::Admission Quotas::admit(const std::string& repository, const Descriptor& manifest,
                                       std::string_view content) {
  const QuotaRule* rule = policies_.quota_of(repository);
  if (!rule) return {};
  const bool is_image = is_manifest(manifest.media_type);
  std::vector<Digest> brings{manifest.digest};
  if (is_image) brings = required_blobs(parse_manifest(content));
  const uint64_t unwritten = is_image || store_.has(manifest.digest) ? 0 : manifest.size;
  std::lock_guard lock(mutex_);
  // The index is read under the lock: what is no reservation any more is in it.
  std::set<Digest> blobs = held_by(repository);
  if (const auto it = under_way_.find(repository); it != under_way_.end())
    blobs.insert(it->second.begin(), it->second.end());
  blobs.insert(brings.begin(), brings.end());
  if (auto refusal = beyond(*rule, repository, blobs, unwritten)) return {std::move(refusal), nullptr};
  return {std::nullopt, std::make_shared<Reservation>(*this, repository, std::move(brings))};
}

}  // namespace kiln::registry
