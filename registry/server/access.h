#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "registry/server/registry_settings.h"

namespace kiln::registry {

enum class Right { Pull, Push, Delete };
std::string_view name_of(Right right);  // "pull", "push", "delete": the actions of token scopes

// Whether a repository's name is among those that a pattern means: `*` stands for characters within one
// component, `**` for anything.
bool matches_repository(std::string_view pattern, std::string_view repository);
bool any_matches(const std::vector<std::string>& patterns, std::string_view name);

// Who may do what, by the owner's rules. Immutable, thread-safe.
class Access {
 public:
  explicit Access(const RegistrySettings& settings);

  // `user`: empty for who has given no name.
  bool allows(std::string_view user, std::string_view repository, Right right) const;
  bool allows_catalog(std::string_view user) const;

 private:
  std::vector<AccessRule> rules_;
};

}  // namespace kiln::registry
