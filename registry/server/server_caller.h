#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "registry/server/access.h"
#include "registry/server/registry_hooks.h"
#include "registry/server/server_route.h"
#include "registry/server/tokens.h"

// Inside of registry/server/server.cc: who sent a request.
namespace kiln::registry::detail {

struct Caller {
  std::string user;    // empty: nobody in particular
  std::string remote;  // address and port
  RegistryEvent::Request request{};
  const Access* access = nullptr;  // null: everybody may do everything
  // Of the token, which may be good for less than its user has a right to; nullopt: came with a password, or
  // with nothing.
  std::optional<std::vector<Scope>> scopes{};

  bool may(std::string_view repository, Right right) const;
  bool may_list_catalog() const;
  // Is the repository to be shown in it? By the user's rights: no token names them all.
  bool may_see(std::string_view repository) const;
};

void tell(RegistryHooks* hooks, const Caller& caller, RegistryEvent::Action action,
          const std::string& repository, const std::string& tag, const Descriptor& target);

// The refusal as the error document that the client gets.
std::optional<Answer> refused(const std::optional<RegistryHooks::Refusal>& refusal);

}  // namespace kiln::registry::detail
