#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "base/http_client.h"
#include "registry/client/challenge.h"
#include "registry/client/credentials.h"

// Inside of registry/client/session.cc: the token flow (distribution's token specification, and its OAuth 2
// form).
namespace kiln::registry::detail {

struct Token {
  std::string text;
  std::chrono::seconds life;  // at least a minute, as the specification has it, at most a day
};

// Who wants a token, and what for.
struct TokenRequest {
  std::string host;  // the registry, for messages
  Url origin;
  std::string scope;  // "repository:NAME:ACTIONS …"; empty: what the challenge says
  Credentials credentials;
};

// The answer's own status 401 or 403 comes back as `refused`. Throws Unavailable for an issuer that does not
// answer, or not as one should; a realm that would take the credentials where they do not belong is refused.
Token fetch_token(const HttpClient& http, const Challenge& challenge, const TokenRequest& request,
                  HttpResponse& refused, const std::stop_token& stop);

// The first error of a distribution-spec error document, or the status in words.
std::string explanation(const HttpResponse& response);

}  // namespace kiln::registry::detail
