#include "registry/server/registry_policies.h"

#include <spdlog/spdlog.h>

#include "base/error.h"
#include "registry/server/retention.h"
#include "registry/store/store.h"
#include "registry/store/store_walk.h"

namespace kiln::registry {

using Refusal = RegistryHooks::Refusal;

RegistryPolicies::RegistryPolicies(Store& store, Client& client, Options options)
    : store_(store),
      options_(std::move(options)),
      upstreams_(store, client,
                 {.rules = options_.settings.upstreams,
                  .guarded = options_.has_users,
                  .clock = options_.clock,
                  .stop = options_.stop}),
      quotas_(store, options_.settings) {
  if (!options_.settings.notifications.empty())
    notifications_ =
        std::make_unique<Notifications>(Notifications::Options{.targets = options_.settings.notifications,
                                                               .database = options_.database,
                                                               .source = options_.source});
  if (options_.settings.retention.empty()) return;
  if (options_.read_only)
    spdlog::warn("the registry is read-only: its rules of retention rest");
  else
    retention_ = std::jthread([this](const std::stop_token& stop) { retain_hourly(stop); });
}

RegistryPolicies::~RegistryPolicies() = default;

std::optional<Refusal> RegistryPolicies::of_upstream(std::string_view repository) const {
  const UpstreamRule* rule = upstreams_.rule_of(repository);
  if (!rule) return std::nullopt;
  return Refusal{405, "UNSUPPORTED",
                 std::string(repository) + " is a copy of what " + rule->registry + " has; push there"};
}

RegistryHooks::Admission RegistryPolicies::before_push(std::string_view repository,
                                                       std::span<const std::string>,
                                                       const Descriptor& manifest, std::string_view content) {
  if (auto refusal = of_upstream(repository)) return {std::move(refusal), nullptr};
  return quotas_.admit(std::string(repository), manifest, content);
}

std::optional<Refusal> RegistryPolicies::before_upload(std::string_view repository,
                                                       std::optional<uint64_t> size) {
  if (auto refusal = of_upstream(repository)) return refusal;
  return quotas_.refuse(std::string(repository), size.value_or(0));
}

RegistryHooks::Admission RegistryPolicies::before_mount(std::string_view repository, const Digest& blob) {
  return quotas_.mount(std::string(repository), blob);
}

std::unique_ptr<RegistryHooks::UploadCount> RegistryPolicies::count_upload(std::string_view repository,
                                                                           std::string_view id,
                                                                           uint64_t size) {
  return quotas_.count_upload(std::string(repository), std::string(id), size);
}

// The tag's own manifest is looked at under the lock (is_immutable); this is for an index's images.
std::optional<Refusal> RegistryPolicies::before_delete(std::string_view repository,
                                                       std::string_view reference) {
  const auto digest = Digest::parse(reference);
  if (!digest || options_.settings.immutable_tags.empty()) return std::nullopt;
  const auto index = store_.index();
  for (const IndexEntry* entry : index->of_repository(repository)) {
    if (entry->tag.empty() || !is_index(entry->descriptor.media_type) ||
        !options_.settings.is_immutable(repository, entry->tag))
      continue;
    ContentWalk walk(store_);
    walk.follow(entry->descriptor.digest);
    if (walk.blobs().contains(*digest))
      return Refusal{409, "DENIED",
                     "tag " + entry->tag + " of repository " + std::string(repository) +
                         " is immutable, and the manifest is part of it"};
  }
  return std::nullopt;
}

bool RegistryPolicies::is_immutable(std::string_view repository, std::string_view tag) {
  return options_.settings.is_immutable(repository, tag);
}

bool RegistryPolicies::is_elsewhere(std::string_view repository) {
  return upstreams_.rule_of(repository) != nullptr;
}

void RegistryPolicies::before_manifest(std::string_view repository, std::string_view reference,
                                       std::string_view via) {
  upstreams_.manifest(repository, reference, via);
}

void RegistryPolicies::before_blob(std::string_view repository, const Digest& digest, std::string_view via) {
  upstreams_.blob(repository, digest, via);
}

std::optional<uint64_t> RegistryPolicies::size_elsewhere(std::string_view repository, const Digest& digest) {
  return upstreams_.blob_size(repository, digest);
}

void RegistryPolicies::happened(const RegistryEvent& event) {
  // A deleted tag leaves its manifest; of blobs the store knows.
  if (event.action == RegistryEvent::Action::Delete && event.tag.empty() &&
      (is_manifest(event.target.media_type) || is_index(event.target.media_type)))
    quotas_.deleted(event.repository, event.target.digest);
  if (notifications_) notifications_->post(event, options_.clock->now());
}

void RegistryPolicies::retain_hourly(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    try {
      for (const Expired& gone : retain(store_, options_.settings, options_.clock->now())) {
        spdlog::info("retention: {} of {} is gone", gone.text(), gone.repository);
        happened({RegistryEvent::Action::Delete, gone.repository, gone.tag, gone.target, {}, {}});
      }
    } catch (const Error& error) {
      spdlog::error("retention: {}", error.full());
    } catch (const std::exception& error) {
      spdlog::error("retention: {}", error.what());
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, std::chrono::hours(1), [] { return false; });
  }
}

}  // namespace kiln::registry
