#include "registry/server/quotas.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "registry/server/upload_record.h"
#include "registry/store/store.h"

namespace kiln::registry {
namespace {

constexpr uint64_t kMost = UINT64_MAX / 4;  // that a client may say: sums stay sums
constexpr size_t kRepositories = 1024;      // beyond, those are forgotten to which nothing is under way

std::set<Digest> entries_of(const Store& store, const std::string& repository) {
  std::set<Digest> out;
  const auto index = store.index();
  for (const IndexEntry* entry : index->of_repository(repository)) out.insert(entry->descriptor.digest);
  return out;
}

}  // namespace

// Blobs of a push that count before they are the repository's.
class Quotas::Reservation {
 public:
  using Blobs = std::vector<std::pair<Digest, uint64_t>>;

  // Under the mutex.
  Reservation(Quotas& quotas, std::shared_ptr<UnderWay> under_way, const Blobs& blobs)
      : quotas_(quotas), under_way_(std::move(under_way)) {
    for (const auto& blob : blobs) held_.push_back(under_way_->blobs.insert(blob));
  }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() {
    std::lock_guard lock(quotas_.mutex_);
    for (const auto& blob : held_) under_way_->blobs.erase(blob);
  }

 private:
  Quotas& quotas_;
  const std::shared_ptr<UnderWay> under_way_;
  std::vector<std::multimap<Digest, uint64_t>::iterator> held_;
};

class Quotas::OneUpload final : public RegistryHooks::UploadCount {
 public:
  OneUpload(Quotas& quotas, const QuotaRule& rule, std::string repository,
            std::shared_ptr<UnderWay> under_way, uint64_t size)
      : quotas_(quotas),
        rule_(rule),
        repository_(std::move(repository)),
        under_way_(std::move(under_way)),
        size_(size) {
    under_way_->receiving += size_;
  }
  ~OneUpload() override {
    std::lock_guard lock(quotas_.mutex_);
    under_way_->receiving -= size_;
  }

  void grow(uint64_t more) override {
    std::lock_guard lock(quotas_.mutex_);
    if (auto refusal = quotas_.beyond(rule_, repository_, *under_way_, more))
      throw RegistryHooks::Refused(std::move(*refusal));
    under_way_->receiving += more;
    size_ += more;
  }

  // From here on it is found by its digest, in whichever way, and counts once.
  void commits(const Digest& digest) override {
    std::lock_guard lock(quotas_.mutex_);
    reservation_ = std::make_unique<Reservation>(quotas_, under_way_, Reservation::Blobs{{digest, size_}});
    digest_ = digest;
    if (under_way_->held) *under_way_->held += size_;
    under_way_->receiving -= std::exchange(size_, 0);
  }

  void committed() override {
    quotas_.blobs_.add(repository_, *digest_);
    reservation_.reset();
  }

 private:
  Quotas& quotas_;
  const QuotaRule& rule_;
  const std::string repository_;
  const std::shared_ptr<UnderWay> under_way_;
  uint64_t size_;
  std::optional<Digest> digest_;
  std::unique_ptr<Reservation> reservation_;
};

Quotas::Quotas(const Store& store, const PolicySettings& policies)
    : store_(store), policies_(policies), blobs_(store) {
  if (policies.quotas.empty()) return;
  std::error_code none;
  for (const auto& file : fs::directory_iterator(store.root() / Store::kUploads, none)) {
    if (file.path().extension() != detail::kRecord) continue;
    try {
      const auto record = detail::UploadRecord::parse(read_file(file.path(), detail::kRecordLimit));
      if (record && policies.quota_of(record->repository))
        under_way_of(record->repository)->left.insert(file.path().stem());
    } catch (const Error&) {  // it went, or is none
    }
  }
}

std::shared_ptr<Quotas::UnderWay> Quotas::under_way_of(const std::string& repository) {
  if (repositories_.size() >= kRepositories)
    std::erase_if(repositories_,
                  [](const auto& item) { return item.second.use_count() == 1 && item.second->left.empty(); });
  auto& out = repositories_[repository];
  if (!out) out = std::make_shared<UnderWay>();
  return out;
}

// From the disk. What is found in several ways counts once.
Quotas::Held Quotas::read(const std::string& repository, UnderWay& under_way,
                          const std::vector<Digest>& brings) {
  std::set<Digest> needed = *blobs_.needed_by_manifests(repository);
  needed.merge(entries_of(store_, repository));
  needed.insert(brings.begin(), brings.end());
  std::map<Digest, uint64_t> sizes;  // of what is on its way
  for (const auto& [digest, size] : under_way.blobs) sizes[digest] = size;
  for (const Digest& digest : needed) sizes.emplace(digest, 0);
  for (const Digest& digest : blobs_.received(repository)) sizes.emplace(digest, 0);
  Held held;
  for (const auto& [digest, size] : sizes) {
    const uint64_t there = store_.size(digest).value_or(size);
    held.bytes += there;
    if (!needed.contains(digest)) held.unneeded += there;
  }
  std::erase_if(under_way.left, [&](const std::string& id) {
    std::error_code gone;
    const uint64_t size = fs::file_size(store_.root() / Store::kUploads / id, gone);
    if (!gone) held.bytes += size, held.unneeded += size;
    return static_cast<bool>(gone);
  });
  return held;
}

// Most are far from it: what is known to be no less than what is there suffices to let them in.
std::optional<Quotas::Refusal> Quotas::beyond(const QuotaRule& rule, const std::string& repository,
                                              UnderWay& under_way, uint64_t more) {
  if (under_way.held && *under_way.held + under_way.receiving + more <= rule.bytes) return std::nullopt;
  return beyond(rule, repository, under_way, more, {});
}

std::optional<Quotas::Refusal> Quotas::beyond(const QuotaRule& rule, const std::string& repository,
                                              UnderWay& under_way, uint64_t more,
                                              const std::vector<Digest>& brings) {
  const Held held = read(repository, under_way, brings);
  under_way.held = held.bytes;
  const uint64_t bytes = held.bytes + under_way.receiving + more;
  if (bytes <= rule.bytes) return std::nullopt;
  std::string message = "repository " + repository + " may hold " + format_bytes(rule.bytes) +
                        "; this would make it " + format_bytes(bytes);
  if (const uint64_t unneeded = held.unneeded + under_way.receiving; unneeded > 0)
    message += ", of which no manifest needs " + format_bytes(unneeded) +
               ": uploads under way, and what `kiln image gc` removes an hour after it came";
  return Refusal{403, "DENIED", std::move(message)};
}

std::optional<RegistryHooks::Refusal> Quotas::refuse(const std::string& repository, uint64_t more) {
  const QuotaRule* rule = policies_.quota_of(repository);
  if (!rule) return std::nullopt;
  std::lock_guard lock(mutex_);
  return beyond(*rule, repository, *under_way_of(repository), std::min(more, kMost));
}

RegistryHooks::Admission Quotas::admit(const std::string& repository, const Descriptor& manifest,
                                       std::string_view content) {
  const QuotaRule* rule = policies_.quota_of(repository);
  if (!rule) return {};
  std::vector<Digest> brings{manifest.digest};
  if (is_manifest(manifest.media_type))
    for (Digest& blob : required_blobs(parse_manifest(content))) brings.push_back(std::move(blob));
  std::lock_guard lock(mutex_);
  const auto under_way = under_way_of(repository);
  const bool is_known = store_.has(manifest.digest) || under_way->blobs.contains(manifest.digest);
  // The index is read under the lock: what is no reservation any more is in it.
  const uint64_t unwritten = is_known ? 0 : manifest.size;
  if (auto refusal = beyond(*rule, repository, *under_way, unwritten, brings))
    return {std::move(refusal), nullptr};
  *under_way->held += unwritten;
  Reservation::Blobs blobs;
  for (const Digest& blob : brings)
    blobs.emplace_back(blob, store_.size(blob).value_or(blob == manifest.digest ? manifest.size : 0));
  return {std::nullopt, std::make_shared<Reservation>(*this, under_way, blobs)};
}

RegistryHooks::Admission Quotas::mount(const std::string& repository, const Digest& blob) {
  const QuotaRule* rule = policies_.quota_of(repository);
  const auto size = store_.size(blob);
  if (!rule || !size) return {};
  std::shared_ptr<Reservation> reservation;
  {
    std::lock_guard lock(mutex_);
    const auto under_way = under_way_of(repository);
    if (auto refusal = beyond(*rule, repository, *under_way, 0, {blob})) return {std::move(refusal), nullptr};
    reservation = std::make_shared<Reservation>(*this, under_way, Reservation::Blobs{{blob, *size}});
  }
  blobs_.add(repository, blob);
  return {std::nullopt, std::move(reservation)};
}

std::unique_ptr<RegistryHooks::UploadCount> Quotas::count_upload(const std::string& repository,
                                                                 const std::string& id, uint64_t size) {
  const QuotaRule* rule = policies_.quota_of(repository);
  if (!rule) return nullptr;
  std::lock_guard lock(mutex_);
  auto under_way = under_way_of(repository);
  under_way->left.erase(id);
  return std::make_unique<OneUpload>(*this, *rule, repository, std::move(under_way), size);
}

void Quotas::deleted(const std::string& repository, const Digest& manifest) {
  if (policies_.quota_of(repository)) blobs_.note_deleted(repository, manifest);
}

}  // namespace kiln::registry
