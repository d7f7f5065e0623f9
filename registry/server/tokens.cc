#include "registry/server/tokens.h"

#include <fcntl.h>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"
#include "registry/reference.h"

namespace kiln::registry {
namespace {

using nlohmann::json;

constexpr size_t kKeySize = 64;  // hex digits
constexpr size_t kTokenLimit = 32u << 10;
constexpr size_t kScopeLimit = 64;
constexpr const char *kRefresh = "refresh", *kPassword = "password";  // claims with a fingerprint

std::string base64url(std::string_view bytes) {
  std::string text = replace_all(replace_all(base64_encode(bytes), "+", "-"), "/", "_");
  text.erase(text.find_last_not_of('=') + 1);
  return text;
}

std::optional<std::string> base64url_decode(std::string_view text) {
  if (text.find_first_of("+/=") != std::string_view::npos) return std::nullopt;
  std::string plain = replace_all(replace_all(std::string(text), "-", "+"), "_", "/");
  plain.append((4 - plain.size() % 4) % 4, '=');
  return base64_decode(plain);
}

// The first part of every token. Compared as it stands: a token cannot choose how it is checked.
const std::string& header() {
  static const std::string text = base64url(R"({"alg":"HS256","typ":"JWT"})");
  return text;
}

int64_t seconds_of(Time time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

std::optional<Scope> parse_scope(std::string_view text) {
  const size_t first = text.find(':'), last = text.rfind(':');
  if (first == std::string_view::npos || first == last) return std::nullopt;
  const std::string_view type = text.substr(0, first), actions = text.substr(last + 1);
  const std::string_view name = text.substr(first + 1, last - first - 1);
  if (type == "registry" && name == "catalog" && actions == "*") return Scope{true, {}, {}};
  if ((type != "repository" && !type.starts_with("repository(")) || !is_repository_name(name))
    return std::nullopt;
  Scope scope{false, std::string(name), {}};
  for (const std::string& action : split(actions, ','))
    for (const Right right : {Right::Pull, Right::Push, Right::Delete})
      if (action == "*" || action == name_of(right)) scope.rights.insert(right);
  return scope;
}

}  // namespace

std::string Scope::text() const {
  if (catalog) return "registry:catalog:*";
  std::vector<std::string> actions;
  for (const Right right : rights) actions.emplace_back(name_of(right));
  return "repository:" + repository + ":" + join(actions, ",");
}

std::vector<Scope> parse_scopes(std::string_view text) {
  std::vector<Scope> scopes;
  for (const std::string& word : split(text, ' ')) {
    if (scopes.size() == kScopeLimit) break;
    if (auto scope = parse_scope(word)) scopes.push_back(std::move(*scope));
  }
  return scopes;
}

Tokens::Tokens(const fs::path& key_file) {
  if (key_file.empty()) {
    key_ = random_hex(kKeySize / 2);
    return;
  }
  if (!fs::exists(key_file)) {
    make_dirs(key_file.parent_path(), 0700);
    write_file_atomic(key_file, random_hex(kKeySize / 2) + "\n", 0600);
  }
  key_ = trim(read_file(key_file, 4096));
  if (key_.size() != kKeySize)
    throw Error(ErrorKind::Invalid, key_file.string() + " is not the key of the registry's tokens",
                "remove it: a new one is made, and clients ask for new tokens by themselves");
}

std::string Tokens::signature(std::string_view text) const {
  return base64url(hmac_sha256(key_, text));
}

std::string Tokens::issue(const Token& token, Time now) const {
  json scopes = json::array();
  for (const Scope& scope : token.scopes) scopes.push_back(scope.text());
  json claims{
      {"sub", token.user}, {"iat", seconds_of(now)}, {"exp", seconds_of(token.expires)}, {"scope", scopes}};
  if (!token.fingerprint.empty()) claims[token.refresh ? kRefresh : kPassword] = token.fingerprint;
  const std::string text =
      header() + "." + base64url(claims.dump(-1, ' ', false, json::error_handler_t::replace));
  return text + "." + signature(text);
}

std::optional<Token> Tokens::check(std::string_view text, Time now) const {
  if (text.size() > kTokenLimit) return std::nullopt;
  const size_t mark = text.rfind('.');
  if (mark == std::string_view::npos || !text.starts_with(header() + ".")) return std::nullopt;
  const std::string_view signed_part = text.substr(0, mark);
  if (!equal_constant_time(text.substr(mark + 1), signature(signed_part))) return std::nullopt;
  // Ours, then; what does not read as such is of another version.
  const auto claims_text =
      base64url_decode(signed_part.substr(std::min(signed_part.size(), header().size() + 1)));
  if (!claims_text) return std::nullopt;
  const json claims = json::parse(*claims_text, nullptr, false);
  try {
    if (claims.at("exp").get<int64_t>() <= seconds_of(now)) return std::nullopt;
    Token token;
    token.user = claims.at("sub").get<std::string>();
    token.expires = Time(std::chrono::seconds(claims.at("exp").get<int64_t>()));
    token.refresh = claims.contains(kRefresh);
    token.fingerprint = claims.value(token.refresh ? kRefresh : kPassword, "");
    for (const json& scope : claims.at("scope"))
      if (auto parsed = parse_scope(scope.get<std::string>())) token.scopes.push_back(std::move(*parsed));
    return token;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace kiln::registry
