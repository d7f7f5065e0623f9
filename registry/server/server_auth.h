#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/http_server.h"
#include "registry/server/access.h"
#include "registry/server/htpasswd.h"
#include "registry/server/server_caller.h"
#include "registry/server/server_route.h"
#include "registry/server/tokens.h"

// Inside of registry/server/server.cc: who asks and what he may (distribution's "Token Authentication
// Specification", "OAuth2 Token Authentication"; RFC 7617 for Basic, RFC 6750 for Bearer). Thread-safe.
namespace kiln::registry::detail {

// "Basic …" → user and password; nullopt when it is something else or malformed.
std::optional<std::pair<std::string, std::string>> parse_basic(std::string_view authorization);
// "Bearer …" → the token.
std::optional<std::string_view> parse_bearer(std::string_view authorization);

class Authentication {
 public:
  // `settings.htpasswd` names the users. Throws as Htpasswd and Tokens do.
  Authentication(const RegistrySettings& settings, const fs::path& token_key, const Clock& clock);

  // Makes `caller` who the Authorization header says; the refusal when it lies or cannot be checked now.
  Awaitable<std::optional<Answer>> identify(HttpExchange& exchange, Caller& caller);
  // The refusal of what the caller may not do: 401 when other credentials may help, else 403.
  std::optional<Answer> refuse(const HttpExchange& exchange, const Caller& caller, const Route& route) const;
  // The realm, /v2/token: GET and POST.
  Awaitable<Answer> token(HttpExchange& exchange);

 private:
  enum class Verdict { Right, Wrong, Busy };
  using Form = std::vector<std::pair<std::string, std::string>>;

  Awaitable<Verdict> check_password(HttpExchange& exchange, std::string_view user, std::string_view password);
  // The token's user is there, with the password that it was made with.
  bool is_current(const Token& token) const;
  Awaitable<Answer> grant(HttpExchange& exchange, const Form& form);
  Answer issue(const std::string& user, const Form& form, bool refresh, bool oauth) const;
  // With what a client needs to ask again; `scope` and `error` may be empty.
  Answer unauthorized(const HttpExchange& exchange, std::string_view message, std::string_view scope,
                      std::string_view error) const;

  const std::string realm_;  // empty: by the name that the client has used
  const Clock& clock_;
  const Access access_;
  const Htpasswd users_;
  const Tokens tokens_;
  std::atomic<int> checking_ = 0, waiting_ = 0;  // passwords
};

}  // namespace kiln::registry::detail
