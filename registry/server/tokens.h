#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "registry/server/access.h"

namespace kiln::registry {

// What a token is for, as a scope says it: "repository:team/app:pull,push", "registry:catalog:*"
// (distribution's token documents, "scope").
struct Scope {
  bool catalog = false;  // the registry's catalog, instead of a repository
  std::string repository;
  std::set<Right> rights;

  std::string text() const;
  bool operator==(const Scope&) const = default;
};

// One or several, with blanks between. What is malformed, or about something else, is left out: a token
// grants what it can.
std::vector<Scope> parse_scopes(std::string_view text);

struct Token {
  std::string user;  // empty: anybody
  std::vector<Scope> scopes;
  // The password it was made with (Htpasswd::fingerprint), and ends with; of anybody: empty.
  std::string fingerprint;
  Time expires{};
  bool refresh = false;  // good for nothing but new tokens
};

// Makes and checks tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256 by a key that nobody else has.
// Immutable, thread-safe.
class Tokens {
 public:
  // The key lies in `key_file`, made at the first time, readable by its owner only; empty: a key that ends
  // with this object, and its tokens with it. Throws Infrastructure; Invalid when it is not such a key.
  explicit Tokens(const fs::path& key_file);

  std::string issue(const Token& token, Time now) const;
  // nullopt when it was not issued here, was changed, or has expired.
  std::optional<Token> check(std::string_view text, Time now) const;

 private:
  std::string signature(std::string_view text) const;
  std::string key_;
};

}  // namespace kiln::registry
