#include "registry/server/notifications.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"

namespace kiln::registry {

using nlohmann::json;

namespace {

constexpr Duration kLongestPause = std::chrono::minutes(5), kLongestWait = std::chrono::hours(7 * 24);
constexpr int64_t kMostWaiting = 10'000;

const char* name_of(RegistryEvent::Action action) {
  switch (action) {
    case RegistryEvent::Action::Push:
      return "push";
    case RegistryEvent::Action::Pull:
      return "pull";
    case RegistryEvent::Action::Mount:
      return "mount";
    case RegistryEvent::Action::Delete:
      return "delete";
  }
  return "";
}

bool is_document(const Descriptor& target) {
  return is_manifest(target.media_type) || is_index(target.media_type);
}

bool wants(const NotificationTarget& target, const RegistryEvent& event) {
  if (std::ranges::count(target.actions, name_of(event.action)) == 0) return false;
  return target.format == NotificationTarget::Format::Docker || is_document(event.target) ||
         event.action == RegistryEvent::Action::Mount;
}

json described(const RegistryEvent& event) {
  json out{{"mediaType", event.target.media_type},
           {"size", event.target.size},
           {"digest", event.target.digest.text()},
           {"repository", event.repository}};
  if (!event.tag.empty()) out["tag"] = event.tag;
  return out;
}

}  // namespace

struct Notifications::Letter {
  int64_t id;
  std::string body;
};

std::string docker_event(const RegistryEvent& event, const std::string& id, const std::string& source,
                         const std::string& instance, Time at) {
  json target = described(event);
  target["length"] = event.target.size;
  target["url"] = source + "/v2/" + event.repository +
                  (is_document(event.target) ? "/manifests/" : "/blobs/") + event.target.digest.text();
  json request{{"id", id}, {"addr", event.remote}};
  const auto& [host, method, user_agent] = event.request;
  for (const auto& [name, value] :
       {std::pair{"host", &host}, {"method", &method}, {"useragent", &user_agent}})
    if (!value->empty()) request[name] = *value;
  const size_t scheme = source.find("://");
  const std::string address = scheme == std::string::npos ? source : source.substr(scheme + 3);
  const json one{{"id", id},
                 {"timestamp", format_rfc3339_nano(at)},
                 {"action", name_of(event.action)},
                 {"target", std::move(target)},
                 {"request", std::move(request)},
                 {"actor", event.user.empty() ? json::object() : json{{"name", event.user}}},
                 {"source", {{"addr", address}, {"instanceID", instance}}}};
  return json{{"events", {one}}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string cloud_event(const RegistryEvent& event, const std::string& id, const std::string& source,
                        Time at) {
  json data = described(event);
  if (!event.user.empty()) data["actor"] = event.user;
  return json{{"specversion", "1.0"},
              {"id", id},
              {"source", source + "/v2/" + event.repository},
              {"type", std::string("dev.kiln.registry.") + name_of(event.action)},
              {"subject",
               event.repository + (event.tag.empty() ? "@" + event.target.digest.text() : ":" + event.tag)},
              {"time", format_rfc3339_nano(at)},
              {"datacontenttype", "application/json"},
              {"data", std::move(data)}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Notifications::Notifications(Options options)
    : options_(std::move(options)),
      instance_(random_hex(16)),
      http_(options_.http),
      outbox_(options_.database) {
  outbox_.execute(
      "CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, "
      "at INTEGER NOT NULL, body TEXT NOT NULL)");
  drop_strangers();
  for (const NotificationTarget& target : options_.targets)
    senders_.emplace_back([this, &target](const std::stop_token& stop) { send_all(target, stop); });
}

Notifications::~Notifications() {
  for (std::jthread& sender : senders_) sender.request_stop();
}

void Notifications::post(const RegistryEvent& event, Time now) {
  if (std::ranges::none_of(options_.targets, [&](const auto& target) { return wants(target, event); }))
    return;
  const std::string id = random_hex(16);
  std::lock_guard lock(mutex_);
  Transaction transaction(outbox_);
  for (const NotificationTarget& target : options_.targets) {
    if (!wants(target, event)) continue;
    const bool docker = target.format == NotificationTarget::Format::Docker;
    outbox_.prepare("INSERT INTO outbox (target, at, body) VALUES (?, ?, ?)")
        .bind(1, target.name)
        .bind(2, int64_t{now.time_since_epoch().count()})
        .bind(3, docker ? docker_event(event, id, options_.source, instance_, now)
                        : cloud_event(event, id, options_.source, now))
        .run();
    drop_old(target, now);
  }
  transaction.commit();
  posted_.notify_all();
}

void Notifications::drop_old(const NotificationTarget& target, Time now) {
  outbox_
      .prepare(
          "DELETE FROM outbox WHERE target = ?1 AND (at < ?2 OR id <= (SELECT id FROM outbox WHERE target = "
          "?1 "
          "ORDER BY id DESC LIMIT 1 OFFSET ?3))")
      .bind(1, target.name)
      .bind(2, int64_t{(now - kLongestWait).time_since_epoch().count()})
      .bind(3, kMostWaiting)
      .run();
  if (outbox_.changes() > 0)
    spdlog::warn("{} events for {} were dropped: it has not taken them", outbox_.changes(), target.name);
}

void Notifications::drop_strangers() {
  std::vector<std::string> names;
  Statement known = outbox_.prepare("SELECT DISTINCT target FROM outbox");
  while (known.step())
    if (std::ranges::count(options_.targets, known.text(0), &NotificationTarget::name) == 0)
      names.push_back(known.text(0));
  known.reset();
  for (const std::string& name : names) {
    outbox_.prepare("DELETE FROM outbox WHERE target = ?").bind(1, name).run();
    spdlog::warn("{} events for {} were dropped: nobody is called that any more", outbox_.changes(), name);
  }
}

size_t Notifications::waiting() const {
  std::lock_guard lock(mutex_);
  Statement count = outbox_.prepare("SELECT count(*) FROM outbox");
  return count.step() ? static_cast<size_t>(count.integer(0)) : 0;
}

std::optional<Notifications::Letter> Notifications::first_of(const NotificationTarget& target) {
  Statement first = outbox_.prepare("SELECT id, body FROM outbox WHERE target = ? ORDER BY id LIMIT 1");
  first.bind(1, target.name);
  if (!first.step()) return std::nullopt;
  return Letter{first.integer(0), first.text(1)};
}

void Notifications::take_out(int64_t id) {
  std::lock_guard lock(mutex_);
  outbox_.prepare("DELETE FROM outbox WHERE id = ?").bind(1, id).run();
}

void Notifications::send_all(const NotificationTarget& target, const std::stop_token& stop) {
  Duration pause = options_.first_pause;
  while (!stop.stop_requested()) {
    std::optional<Letter> letter;
    try {
      {
        std::unique_lock lock(mutex_);
        posted_.wait(lock, stop, [&] { return (letter = first_of(target)).has_value(); });
      }
      if (!letter) return;
      if (send(target, *letter, stop)) {
        take_out(letter->id);
        pause = options_.first_pause;
        continue;
      }
    } catch (const Error& error) {
      if (stop.stop_requested()) return;
      spdlog::warn("events for {} wait: {}", target.name, error.full());
    }
    std::unique_lock lock(mutex_);
    posted_.wait_for(lock, stop, pause, [] { return false; });
    pause = std::min(pause * 2, kLongestPause);
  }
}

bool Notifications::send(const NotificationTarget& target, const Letter& letter,
                         const std::stop_token& stop) const {
  HttpRequest request{.method = "POST", .url = target.url, .body = HttpBody::of_text(letter.body)};
  request.headers.add("Content-Type", target.format == NotificationTarget::Format::Docker
                                          ? "application/vnd.docker.distribution.events.v1+json"
                                          : "application/cloudevents+json");
  if (!target.token_file.empty())
    request.headers.add("Authorization",
                        "Bearer " + std::string(trim(read_file(target.token_file, 1 << 16))));
  const HttpResponse response = http_.send(request, {}, stop);
  if (!response.ok()) spdlog::warn("events for {} wait: it answers {}", target.name, response.status);
  return response.ok();
}

}  // namespace kiln::registry
