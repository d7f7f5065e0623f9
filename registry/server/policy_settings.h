#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"

namespace kiln::registry {

class SettingsTable;

// A repository may hold so much (quotas.h), each blob counted once.
struct QuotaRule {
  std::vector<std::string> repositories;  // patterns, as AccessRule has them
  uint64_t bytes = 0;
};

// What goes by itself. A tag goes when it is neither among the `keep_last` most recently pushed that the rule
// means, nor younger than `keep_for`; a manifest that no tag leads to, when nobody has asked for it for
// `untagged_for`. Of several rules the first that means a tag (or, for untagged ones, the repository) counts.
// Immutable tags stay.
struct RetentionRule {
  std::vector<std::string> repositories;
  std::vector<std::string> tags{"*"};
  std::optional<uint64_t> keep_last;
  std::optional<Duration> keep_for, untagged_for;
};

// Repositories PREFIX/… are those of another registry, fetched when somebody asks for them and kept.
struct UpstreamRule {
  std::string prefix;                           // "mirror/base"
  std::string registry;                         // "registry.example" or "registry.example/library"
  Duration tag_age = std::chrono::minutes(10);  // how long what a tag means is not asked again
};

// Who is told of pushes and deletions.
struct NotificationTarget {
  // CloudEvents are about manifests (and mounts of blobs); Docker's, as distribution's, also about blobs.
  enum class Format { Docker, CloudEvents } format = Format::CloudEvents;
  std::string name, url;
  std::vector<std::string> actions{"push", "delete"};  // also "pull" and "mount"
  fs::path token_file;                                 // its text is sent as a bearer token
};

// The policies of an embedded registry, part of the table [registry]. A value.
struct PolicySettings {
  std::vector<std::string> immutable_tags;  // "v*", or "team/**:v*": a pattern of repositories before it
  std::vector<QuotaRule> quotas;            // the first that means a repository counts
  std::vector<RetentionRule> retention;
  std::vector<UpstreamRule> upstreams;
  std::vector<NotificationTarget> notifications;

  void take(SettingsTable& table);  // as RegistrySettings::apply

  bool is_immutable(std::string_view repository, std::string_view tag) const;
  const QuotaRule* quota_of(std::string_view repository) const;
};

// "10GB", "512MiB", "1000"; nullopt for anything else.
std::optional<uint64_t> parse_bytes(std::string_view text);

}  // namespace kiln::registry
