#include "registry/server/policy_settings.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/http.h"
#include "base/text.h"
#include "registry/reference.h"
#include "registry/server/access.h"
#include "registry/server/settings_table.h"

namespace kiln::registry {
namespace {

void require(SettingsTable& table, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (!table.has(key)) table.refuse(key, "is missing");
}

void take_duration(SettingsTable& table, std::string_view key, std::optional<Duration>& value) {
  if (!table.has(key)) return;
  std::string text;
  table.take(key, text);
  // Days, which Go's durations do not know, are what people think in here.
  const bool days = text.ends_with('d');
  value = parse_duration(days ? text.substr(0, text.size() - 1) + "h" : text);
  const bool fits = value && *value >= Duration::zero() && (!days || *value <= Duration::max() / 24);
  if (!fits) table.refuse(key, "is no duration", "write 30d, 12h or 10m");
  if (days) *value *= 24;
}

QuotaRule take_quota(SettingsTable& table) {
  QuotaRule rule;
  std::string bytes;
  require(table, {"repositories", "bytes"});
  table.take("repositories", rule.repositories);
  table.take("bytes", bytes);
  const auto parsed = parse_bytes(bytes);
  if (!parsed) table.refuse("bytes", "is no size", "write \"10GB\" or \"512MiB\"");
  rule.bytes = *parsed;
  return rule;
}

RetentionRule take_retention(SettingsTable& table) {
  RetentionRule rule;
  require(table, {"repositories"});
  table.take("repositories", rule.repositories);
  table.take("tags", rule.tags);
  if (table.has("keep-last")) table.take("keep-last", rule.keep_last.emplace());
  take_duration(table, "keep-for", rule.keep_for);
  take_duration(table, "untagged-for", rule.untagged_for);
  if (!rule.keep_last && !rule.keep_for && !rule.untagged_for)
    table.refuse("keep-last", "is missing", "a rule needs keep-last, keep-for or untagged-for");
  return rule;
}

UpstreamRule take_upstream(SettingsTable& table) {
  UpstreamRule rule;
  require(table, {"prefix", "registry"});
  table.take("prefix", rule.prefix);
  table.take("registry", rule.registry);
  std::optional<Duration> age;
  take_duration(table, "tag-age", age);
  rule.tag_age = age.value_or(rule.tag_age);
  if (!is_repository_name(rule.prefix)) table.refuse("prefix", "is no repository's name");
  // A name whose first part is no host would be one of Docker Hub's.
  const auto reference = Reference::try_parse(rule.registry + "/x");
  const std::string host = rule.registry.substr(0, rule.registry.find('/'));
  if (!reference || (host != "localhost" && host.find_first_of(".:") == std::string::npos))
    table.refuse("registry", "is no registry", "write HOST, HOST:PORT or HOST/NAME");
  return rule;
}

NotificationTarget take_notification(SettingsTable& table) {
  NotificationTarget target;
  std::string format = "cloudevents";
  require(table, {"url"});
  table.take("url", target.url);
  target.name = target.url;
  table.take("name", target.name);
  table.take("format", format);
  table.take("actions", target.actions);
  table.take_path("token-file", target.token_file);
  if (!Url::parse(target.url))
    table.refuse("url", "is no URL", "write http:// or https://; a password goes into token-file");
  if (format != "docker" && format != "cloudevents")
    table.refuse("format", "is \"" + format + "\"", "there are docker and cloudevents");
  target.format =
      format == "docker" ? NotificationTarget::Format::Docker : NotificationTarget::Format::CloudEvents;
  for (const std::string& action : target.actions)
    if (!std::set<std::string>{"push", "pull", "mount", "delete"}.contains(action))
      table.refuse("actions", "does not know \"" + action + "\"", "there are push, pull, mount, delete");
  return target;
}

}  // namespace

void PolicySettings::take(SettingsTable& table) {
  table.take("immutable-tags", immutable_tags);
  // The nearer file's list replaces the other's.
  const auto take_list = [&](const char* key, auto& list, const auto& take_one) {
    if (table.has(key)) list.clear();
    table.take_tables(key, [&](SettingsTable& item) { list.push_back(take_one(item)); });
  };
  take_list("quota", quotas, take_quota);
  take_list("retention", retention, take_retention);
  take_list("upstream", upstreams, take_upstream);
  take_list("notify", notifications, [&](SettingsTable& item) {
    NotificationTarget target = take_notification(item);
    if (std::ranges::count(notifications, target.name, &NotificationTarget::name) > 0)
      item.refuse("name", "\"" + target.name + "\" is another's already", "what waits is kept by name");
    return target;
  });
}

bool PolicySettings::is_immutable(std::string_view repository, std::string_view tag) const {
  return std::ranges::any_of(immutable_tags, [&](std::string_view pattern) {
    const size_t colon = pattern.rfind(':');
    const bool here =
        colon == std::string_view::npos || matches_repository(pattern.substr(0, colon), repository);
    return here && matches_repository(pattern.substr(colon == std::string_view::npos ? 0 : colon + 1), tag);
  });
}

const QuotaRule* PolicySettings::quota_of(std::string_view repository) const {
  const auto rule = std::ranges::find_if(
      quotas, [&](const QuotaRule& one) { return any_matches(one.repositories, repository); });
  return rule == quotas.end() ? nullptr : &*rule;
}

std::optional<uint64_t> parse_bytes(std::string_view text) {
  static const std::map<std::string_view, uint64_t> kUnits{
      {"", 1},           {"B", 1},           {"kB", 1'000},         {"KB", 1'000},
      {"MB", 1'000'000}, {"GB", 1000000000}, {"TB", 1000000000000}, {"KiB", 1ull << 10},
      {"MiB", 1 << 20},  {"GiB", 1 << 30},   {"TiB", 1ull << 40}};
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto unit = kUnits.find(trim(text.substr(static_cast<size_t>(end - text.data()))));
  if (error != std::errc{} || unit == kUnits.end() || value > UINT64_MAX / unit->second) return std::nullopt;
  return value * unit->second;
}

}  // namespace kiln::registry
