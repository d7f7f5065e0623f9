#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/clock.h"
#include "registry/server/notifications.h"
#include "registry/server/policy_settings.h"
#include "registry/server/quotas.h"
#include "registry/server/registry_hooks.h"
#include "registry/server/upstreams.h"

namespace kiln::registry {

// All policies of an embedded registry: immutable tags, quotas, pull-through, notifications, and retention,
// looked at every hour and at the start. Thread-safe.
class RegistryPolicies final : public RegistryHooks {
 public:
  struct Options {
    PolicySettings settings;
    std::filesystem::path database;  // for events that wait; made when there is somebody to tell
    std::string source = "kiln";     // of events
    bool has_users = false;          // repositories show their own blobs only
    bool read_only = false;          // nothing goes by itself, either
    std::stop_token stop{};          // ends what waits for upstreams
    const Clock* clock = &system_clock();
  };
  // Store and client must outlive this. Throws what is wrong with the database.
  RegistryPolicies(Store& store, Client& client, Options options);
  ~RegistryPolicies() override;

  Admission before_push(std::string_view repository, std::span<const std::string> tags,
                        const Descriptor& manifest, std::string_view content) override;
  std::optional<Refusal> before_upload(std::string_view repository, std::optional<uint64_t> size) override;
  Admission before_mount(std::string_view repository, const Digest& blob) override;
  std::unique_ptr<UploadCount> count_upload(std::string_view repository, std::string_view id,
                                            uint64_t size) override;
  std::optional<Refusal> before_delete(std::string_view repository, std::string_view reference) override;
  bool is_immutable(std::string_view repository, std::string_view tag) override;
  bool is_elsewhere(std::string_view repository) override;
  void before_manifest(std::string_view repository, std::string_view reference,
                       std::string_view via) override;
  void before_blob(std::string_view repository, const Digest& digest, std::string_view via) override;
  std::optional<uint64_t> size_elsewhere(std::string_view repository, const Digest& digest) override;
  void happened(const RegistryEvent& event) override;

  // Whether what is too old goes by itself.
  bool retains() const { return retention_.joinable(); }
  size_t events_waiting() const { return notifications_ ? notifications_->waiting() : 0; }

 private:
  std::optional<Refusal> of_upstream(std::string_view repository) const;
  void retain_hourly(const std::stop_token& stop);

  Store& store_;
  const Options options_;
  Upstreams upstreams_;
  Quotas quotas_;
  std::unique_ptr<Notifications> notifications_;  // null: nobody is told
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread retention_;
};

}  // namespace kiln::registry
