#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/http_client.h"
#include "base/sqlite.h"
#include "registry/server/policy_settings.h"
#include "registry/server/registry_hooks.h"

namespace kiln::registry {

// Tells others what happened in the registry. post() writes to an outbox (SQLite) and returns when that is on
// disk; threads, one for each target, send what is there: in order, at least once, again after a failure
// (1 s, doubled up to 5 minutes) and after a restart. Only an answer 2xx means that it was taken. An event
// that was not taken for a week, or behind which 10,000 newer ones wait, is dropped when the next comes, and
// one whose target is not there any more at the start; the log says so. Thread-safe.
//
// Format Docker: the envelope of distribution's notifications, one event each. CloudEvents: 1.0, structured
// JSON, type dev.kiln.registry.ACTION, subject REPOSITORY:TAG or REPOSITORY@DIGEST.
class Notifications {
 public:
  struct Options {
    std::vector<NotificationTarget> targets;
    std::filesystem::path database;
    std::string source = "kiln";  // of the events: the registry's URL
    Duration first_pause = std::chrono::seconds(1);
    HttpClient::Options http{.stall_timeout = std::chrono::seconds(20)};
  };
  // Throws what is wrong with the database.
  explicit Notifications(Options options);
  ~Notifications();  // ends sending; what is left stays in the outbox

  void post(const RegistryEvent& event, Time now);
  size_t waiting() const;

 private:
  struct Letter;
  void send_all(const NotificationTarget& target, const std::stop_token& stop);
  bool send(const NotificationTarget& target, const Letter& letter, const std::stop_token& stop) const;
  std::optional<Letter> first_of(const NotificationTarget& target);
  void take_out(int64_t id);
  void drop_old(const NotificationTarget& target, Time now);
  void drop_strangers();

  const Options options_;
  const std::string instance_;  // of this process, in Docker's events
  const HttpClient http_;
  mutable std::mutex mutex_;  // guards the outbox
  std::condition_variable_any posted_;
  mutable Database outbox_;
  std::vector<std::jthread> senders_;  // last: use the rest
};

// The bodies, for tests.
std::string docker_event(const RegistryEvent& event, const std::string& id, const std::string& source,
                         const std::string& instance, Time at);
std::string cloud_event(const RegistryEvent& event, const std::string& id, const std::string& source,
                        Time at);

}  // namespace kiln::registry
