#include "registry/server/access.h"

#include <algorithm>

namespace kiln::registry {
namespace {

bool is_meant(const AccessRule& rule, std::string_view user) {
  return std::ranges::any_of(rule.users, [&](const std::string& name) {
    return name == AccessRule::kAnonymous ||
           (!user.empty() && (name == AccessRule::kAnyUser || name == user));
  });
}

bool gives(const AccessRule& rule, Right right) {
  return right == Right::Pull ? rule.pull : right == Right::Push ? rule.push : rule.remove;
}

}  // namespace

std::string_view name_of(Right right) {
  return right == Right::Pull ? "pull" : right == Right::Push ? "push" : "delete";
}

// Which positions of the name the pattern's beginning may have come to, piece by piece: no pattern takes
// long.
bool matches_repository(std::string_view pattern, std::string_view repository) {
  std::vector<bool> at(repository.size() + 1);
  at[0] = true;
  while (!pattern.empty()) {
    std::vector<bool> next(at.size());
    const bool across = pattern.starts_with("**"), within = pattern.front() == '*';
    for (size_t i = 0; i < at.size(); ++i) {
      if (within) {
        const bool grown = i > 0 && next[i - 1] && (across || repository[i - 1] != '/');
        next[i] = at[i] || grown;
      } else if (i + 1 < at.size()) {
        next[i + 1] = at[i] && repository[i] == pattern.front();
      }
    }
    at = std::move(next);
    pattern.remove_prefix(across ? 2 : 1);
  }
  return at.back();
}

bool any_matches(const std::vector<std::string>& patterns, std::string_view name) {
  return std::ranges::any_of(patterns,
                             [&](const std::string& pattern) { return matches_repository(pattern, name); });
}

Access::Access(const RegistrySettings& settings) : rules_(settings.access) {
  if (rules_.empty()) rules_.push_back({{AccessRule::kAnyUser}, {"**"}, true, true, true, true});
  if (settings.anonymous_pull)
    rules_.push_back({{AccessRule::kAnonymous}, {"**"}, true, false, false, false});
}

bool Access::allows(std::string_view user, std::string_view repository, Right right) const {
  return std::ranges::any_of(rules_, [&](const AccessRule& rule) {
    return gives(rule, right) && is_meant(rule, user) &&
           std::ranges::any_of(rule.repositories, [&](const std::string& pattern) {
             return matches_repository(pattern, repository);
           });
  });
}

bool Access::allows_catalog(std::string_view user) const {
  return std::ranges::any_of(rules_,
                             [&](const AccessRule& rule) { return rule.catalog && is_meant(rule, user); });
}

}  // namespace kiln::registry
