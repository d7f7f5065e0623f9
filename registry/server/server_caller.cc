#include "registry/server/server_caller.h"

#include <algorithm>

namespace kiln::registry::detail {

bool Caller::may(std::string_view repository, Right right) const {
  if (!access) return true;
  if (!access->allows(user, repository, right)) return false;  // whatever was right when a token was given
  return !scopes || std::ranges::any_of(*scopes, [&](const Scope& scope) {
    return !scope.catalog && scope.repository == repository && scope.rights.contains(right);
  });
}

bool Caller::may_list_catalog() const {
  if (!access) return true;
  if (!access->allows_catalog(user)) return false;
  return !scopes || std::ranges::any_of(*scopes, [](const Scope& scope) { return scope.catalog; });
}

bool Caller::may_see(std::string_view repository) const {
  return !access || access->allows(user, repository, Right::Pull);
}

void tell(RegistryHooks* hooks, const Caller& caller, RegistryEvent::Action action,
          const std::string& repository, const std::string& tag, const Descriptor& target) {
  if (hooks) hooks->happened({action, repository, tag, target, caller.user, caller.remote, caller.request});
}

std::optional<Answer> refused(const std::optional<RegistryHooks::Refusal>& refusal) {
  if (!refusal) return std::nullopt;
  return error_answer(refusal->status, refusal->code, refusal->message);
}

}  // namespace kiln::registry::detail
