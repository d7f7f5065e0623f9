#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/fs.h"
#include "registry/server/policy_settings.h"

namespace kiln::registry {

// Who may do what in which repositories. Rules only add: what no rule gives is denied.
struct AccessRule {
  std::vector<std::string> users;         // names of the htpasswd file; kAnyUser, kAnonymous
  std::vector<std::string> repositories;  // patterns: `*` within a component of the name, `**` across them
  bool pull = false, push = false, remove = false, catalog = false;

  static constexpr const char* kAnyUser = "*";            // everyone who has given a good password
  static constexpr const char* kAnonymous = "anonymous";  // everyone, also without a name
};

// What the owner of an embedded registry has set: the table [registry] of config.toml (docs/settings.md) and
// the flags --registry-NAME of `kiln serve`. A value; the default is an open registry.
struct RegistrySettings {
  bool sparse = false;     // take manifests whose blobs are not here (distribution-spec, "Sparse manifests")
  bool read_only = false;  // pulls only: everything else is 405
  bool allow_delete = true;     // `delete`
  bool own_images = false;      // take pushes and deletes below kiln/, whose images this machine runs itself
  fs::path htpasswd;            // empty: nobody has a name, everybody every right
  std::string realm;            // URL of /v2/token as clients reach it; empty: by the name they used
  bool anonymous_pull = false;  // what a rule {anonymous, **, pull} says
  std::vector<AccessRule> access;  // empty, with htpasswd: every user has every right
  PolicySettings policies{};

  // Sets what the table says and leaves the rest as it was, so that the nearer file wins by coming later.
  // `file` is where it stands: errors name it, and relative paths begin at its folder. Throws Invalid, naming
  // the key, for what is unknown or has the wrong type.
  void apply(const nlohmann::json& table, const fs::path& file);
  // Contradictions that only all files and flags together show. Throws Invalid.
  void check() const;
};

}  // namespace kiln::registry
