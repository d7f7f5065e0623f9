#pragma once

#include <string>

#include "registry/registry_hooks.h"
#include "registry/server_route.h"

// Inside of registry/server.cc: who sent a request.
namespace kiln::registry::detail {

struct Caller {
  std::string user;    // empty: nobody in particular
  std::string remote;  // address and port
};

inline void tell(RegistryHooks* hooks, const Caller& caller, RegistryEvent::Action action,
                 const std::string& repository, const std::string& tag, const Descriptor& target) {
  if (hooks) hooks->happened({action, repository, tag, target, caller.user, caller.remote});
}

// The refusal as the error document that the client gets.
inline std::optional<Answer> refused(const std::optional<RegistryHooks::Refusal>& refusal) {
  if (!refusal) return std::nullopt;
  return error_answer(refusal->status, refusal->code, refusal->message);
}

}  // namespace kiln::registry::detail
