// What strangers send to be let in (Authorization, scopes, tokens), and the owner's file of users.
#include <cstdlib>
#include <string>
#include <string_view>

#include "registry/server/access.h"
#include "registry/server/htpasswd.h"
#include "registry/server/server_auth.h"
#include "registry/server/tokens.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln;
  using namespace kiln::registry;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  if (const auto basic = kiln::registry::detail::parse_basic(text);
      basic && basic->first.find(':') != std::string::npos)
    std::abort();
  if (const auto bearer = kiln::registry::detail::parse_bearer(text); bearer && bearer->size() > size)
    std::abort();

  for (const Scope& scope : parse_scopes(text)) {
    const auto again = parse_scopes(scope.text());
    if (again.size() != 1 || again[0] != scope) std::abort();
    if (scope.repository.find("..") != std::string::npos) std::abort();
  }

  // Nobody has the key, so nothing that was made up is a token, and nothing that was issued survives a
  // change.
  static const Tokens tokens({});
  const Time now{std::chrono::seconds(1000)};
  if (tokens.check(text, now)) std::abort();
  Token token{std::string(text.substr(0, 64)), parse_scopes(text), {}, now + std::chrono::seconds(1)};
  const std::string issued = tokens.issue(token, now);
  if (issued.size() < 30'000 && !tokens.check(issued, now)) std::abort();
  if (tokens.check(issued + std::string(text), now) && !text.empty()) std::abort();

  const auto users = Htpasswd::parse(text);
  for (const auto& [name, hash] : users.hashes)
    if (name.empty() || name == AccessRule::kAnyUser || hash.size() != 60) std::abort();

  const size_t half = std::min<size_t>(size / 2, 128);
  const std::string_view pattern = text.substr(0, half), name = text.substr(half).substr(0, 255);
  matches_repository(pattern, name);
  if (!matches_repository("**", name)) std::abort();
  return 0;
}
