#include "registry/server/server_auth.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "registry/reference.h"

namespace kiln::registry::detail {
namespace {

using nlohmann::json;

constexpr auto kTokenLife = std::chrono::seconds(300);
constexpr auto kRefreshLife = std::chrono::hours(24 * 90);
constexpr size_t kFormLimit = 64u << 10;
constexpr size_t kPasswordLimit = 1024;
// Passwords that are checked at once, of the pool's eight threads, and that wait for it.
constexpr int kChecks = 2, kWaiting = 256;
constexpr auto kLookAgain = std::chrono::milliseconds(5);

std::string value_of(const std::vector<std::pair<std::string, std::string>>& form, std::string_view name) {
  const auto it = std::ranges::find(form, name, [](const auto& field) { return field.first; });
  return it == form.end() ? std::string{} : it->second;
}

// A host and port as they may stand in a URL and between quotation marks.
bool is_plain_authority(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']';
  });
}

// What a request needs.
struct Need {
  bool nothing = false, catalog = false;
  Right right = Right::Pull;
};

Need need_of(const Route& route, std::string_view method) {
  const bool reads = method == "GET" || method == "HEAD";
  switch (route.kind) {
    case Route::Kind::Base:
      return {.nothing = true};
    case Route::Kind::Catalog:
      return {.catalog = true};
    case Route::Kind::Tags:
    case Route::Kind::Referrers:
      return {};
    case Route::Kind::Uploads:
    case Route::Kind::Upload:
      return {.right = Right::Push};
    case Route::Kind::Manifest:
    case Route::Kind::Blob:
      return {.right = reads ? Right::Pull : method == "DELETE" ? Right::Delete : Right::Push};
  }
  return {};
}

// What the client is told to ask for. Who pushes looks first what is there.
std::string scope_of(const Need& need, const Route& route, const HttpExchange& exchange) {
  if (need.nothing) return {};
  if (need.catalog) return Scope{true, {}, {}}.text();
  Scope scope{false, route.repository, {need.right}};
  if (need.right == Right::Push) scope.rights.insert(Right::Pull);
  std::string text = scope.text();
  const auto from = exchange.query_value("from");
  if (route.kind == Route::Kind::Uploads && from && is_repository_name(*from))
    text += " " + Scope{false, *from, {Right::Pull}}.text();
  return text;
}

// Counts one up while it lives.
struct Counted {
  explicit Counted(std::atomic<int>& number) : count(number) { ++count; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --count; }
  std::atomic<int>& count;
};

Answer busy() {
  Answer answer = error_answer(429, "TOOMANYREQUESTS", "too many passwords are being checked");
  answer.headers.add("Retry-After", "1");
  return answer;
}

}  // namespace

std::optional<std::pair<std::string, std::string>> parse_basic(std::string_view authorization) {
  if (authorization.size() < 6 || !iequals(authorization.substr(0, 6), "basic ")) return std::nullopt;
  const auto text = base64_decode(trim(authorization.substr(6)));
  if (!text) return std::nullopt;
  const size_t colon = text->find(':');
  if (colon == std::string::npos || text->size() > kPasswordLimit) return std::nullopt;
  return std::pair(text->substr(0, colon), text->substr(colon + 1));
}

std::optional<std::string_view> parse_bearer(std::string_view authorization) {
  if (authorization.size() < 7 || !iequals(authorization.substr(0, 7), "bearer ")) return std::nullopt;
  return trim(authorization.substr(7));
}

Authentication::Authentication(const RegistrySettings& settings, const fs::path& token_key,
                               const Clock& clock)
    : realm_(settings.realm),
      clock_(clock),
      access_(settings),
      users_(settings.htpasswd),
      tokens_(token_key) {}

Answer Authentication::unauthorized(const HttpExchange& exchange, std::string_view message,
                                    std::string_view scope, std::string_view error) const {
  Answer answer = error_answer(401, "UNAUTHORIZED", message);
  std::string host(exchange.header("Host"));
  if (!is_plain_authority(host)) host = "registry";
  std::string bearer =
      "Bearer realm=\"" +
      (realm_.empty() ? (exchange.is_secure() ? "https://" : "http://") + host + "/v2/token" : realm_) +
      "\",service=\"" + host + "\"";
  if (!scope.empty()) bearer += ",scope=\"" + std::string(scope) + "\"";
  if (!error.empty()) bearer += ",error=\"" + std::string(error) + "\"";
  answer.headers.add("WWW-Authenticate", std::move(bearer));
  answer.headers.add("WWW-Authenticate", "Basic realm=\"" + host + "\", charset=\"UTF-8\"");
  return answer;
}

Awaitable<Authentication::Verdict> Authentication::check_password(HttpExchange& exchange,
                                                                  std::string_view user,
                                                                  std::string_view password) {
  if (password.size() > kPasswordLimit) co_return Verdict::Wrong;
  if (const auto known = users_.check_known(user, password))
    co_return *known ? Verdict::Right : Verdict::Wrong;
  if (waiting_ >= kWaiting) co_return Verdict::Busy;
  const Counted waits(waiting_);
  // Whoever guesses passwords must not take the pool from those who pull.
  while (checking_ >= kChecks) {
    asio::steady_timer turn(co_await asio::this_coro::executor, kLookAgain);
    co_await turn.async_wait(asio::use_awaitable);
  }
  const Counted checks(checking_);
  const bool good = co_await exchange.on_pool([&] { return users_.check(user, password); });
  co_return good ? Verdict::Right : Verdict::Wrong;
}

bool Authentication::is_current(const Token& token) const {
  if (token.user.empty()) return true;
  return !token.fingerprint.empty() && token.fingerprint == users_.fingerprint(token.user);
}

Awaitable<std::optional<Answer>> Authentication::identify(HttpExchange& exchange, Caller& caller) {
  caller.access = &access_;
  const std::string_view authorization = exchange.header("Authorization");
  if (authorization.empty()) co_return std::nullopt;
  if (const auto text = parse_bearer(authorization)) {
    auto token = tokens_.check(*text, clock_.now());
    if (!token || token->refresh || !is_current(*token))
      co_return unauthorized(exchange, "the token is not valid, or not any more", "", "invalid_token");
    caller.user = std::move(token->user);
    caller.scopes = std::move(token->scopes);
    co_return std::nullopt;
  }
  Verdict verdict = Verdict::Wrong;
  if (const auto basic = parse_basic(authorization)) {
    verdict = co_await check_password(exchange, basic->first, basic->second);
    caller.user = basic->first;
  }
  if (verdict == Verdict::Busy) co_return busy();
  if (verdict == Verdict::Wrong) co_return unauthorized(exchange, "wrong user or password", "", "");
  co_return std::nullopt;
}

std::optional<Answer> Authentication::refuse(const HttpExchange& exchange, const Caller& caller,
                                             const Route& route) const {
  const Need need = need_of(route, exchange.method());
  const bool anonymous = caller.user.empty() && !caller.scopes;
  // Who asks without credentials whether there is a registry is told how to bring them, even when he could do
  // without: clients remember the answer for all that follows.
  const bool allowed = need.nothing   ? !anonymous
                       : need.catalog ? caller.may_list_catalog()
                                      : caller.may(route.repository, need.right);
  const std::string scope = scope_of(need, route, exchange);
  if (allowed) {
    // A mount wants a token that is good for its source, too, if there can be one; else it becomes an upload.
    const auto from = exchange.query_value("from");
    const bool widen = route.kind == Route::Kind::Uploads && from && caller.scopes &&
                       !caller.may(*from, Right::Pull) && access_.allows(caller.user, *from, Right::Pull);
    if (!widen) return std::nullopt;
    return unauthorized(exchange, "the token is not good for the mount's source", scope,
                        "insufficient_scope");
  }
  const bool by_right = need.catalog ? access_.allows_catalog(caller.user)
                                     : access_.allows(caller.user, route.repository, need.right);
  if (caller.user.empty() || by_right)
    return unauthorized(exchange, "authentication is required", scope,
                        caller.scopes ? "insufficient_scope" : "");
  return error_answer(403, "DENIED",
                      need.catalog ? caller.user + " has no right to the catalog"
                                   : caller.user + " has no right to " + std::string(name_of(need.right)) +
                                         (need.right == Right::Delete ? " from "
                                          : need.right == Right::Push ? " to "
                                                                      : " ") +
                                         route.repository);
}

Answer Authentication::issue(const std::string& user, const Form& form, bool refresh, bool oauth) const {
  const Time now = clock_.now();
  const std::string fingerprint = users_.fingerprint(user);
  Token token{user, {}, fingerprint, now + kTokenLife};
  for (const auto& [name, value] : form) {
    if (name != "scope") continue;
    for (Scope& scope : parse_scopes(value)) {
      if (scope.catalog && !access_.allows_catalog(user)) continue;
      std::erase_if(scope.rights,
                    [&](Right right) { return !access_.allows(user, scope.repository, right); });
      if (scope.catalog || !scope.rights.empty()) token.scopes.push_back(std::move(scope));
    }
  }
  const std::string text = tokens_.issue(token, now);
  json document{{"access_token", text},
                {"expires_in", std::chrono::seconds(kTokenLife).count()},
                {"issued_at", format_rfc3339(now)}};
  if (oauth) {
    std::vector<std::string> granted;
    for (const Scope& scope : token.scopes) granted.push_back(scope.text());
    document["scope"] = join(granted, " ");
  } else {
    document["token"] = text;
  }
  if (refresh && !user.empty())
    document["refresh_token"] = tokens_.issue({user, {}, fingerprint, now + kRefreshLife, true}, now);
  Answer answer{200, {}, document.dump()};
  answer.headers.add("Content-Type", "application/json");
  answer.headers.add("Cache-Control", "no-store");
  return answer;
}

Awaitable<Answer> Authentication::token(HttpExchange& exchange) {
  if (exchange.method() == "POST") {
    const std::string body = co_await exchange.read_all(kFormLimit);
    const Form form = parse_query(body);
    co_return co_await grant(exchange, form);
  }
  if (exchange.method() != "GET")
    co_return error_answer(405, "UNSUPPORTED", "the endpoint does not know this method");
  const Form form = parse_query(exchange.query());
  const std::string_view authorization = exchange.header("Authorization");
  std::string user;
  if (!authorization.empty()) {
    Verdict verdict = Verdict::Wrong;
    if (const auto basic = parse_basic(authorization)) {
      verdict = co_await check_password(exchange, basic->first, basic->second);
      user = basic->first;
    }
    if (verdict == Verdict::Busy) co_return busy();
    if (verdict == Verdict::Wrong) co_return unauthorized(exchange, "wrong user or password", "", "");
  }
  co_return issue(user, form, value_of(form, "offline_token") == "true", false);
}

Awaitable<Answer> Authentication::grant(HttpExchange& exchange, const Form& form) {
  const std::string type = value_of(form, "grant_type");
  const bool offline = value_of(form, "access_type") == "offline";
  if (type == "password") {
    const std::string user = value_of(form, "username"), password = value_of(form, "password");
    const Verdict verdict = co_await check_password(exchange, user, password);
    if (verdict == Verdict::Busy) co_return busy();
    if (verdict == Verdict::Wrong) co_return unauthorized(exchange, "wrong user or password", "", "");
    co_return issue(user, form, offline, true);
  }
  if (type == "refresh_token") {
    const std::string text = value_of(form, "refresh_token");
    const auto token = tokens_.check(text, clock_.now());
    if (!token || !token->refresh || !is_current(*token))
      co_return unauthorized(exchange, "the refresh token is not valid, or not any more", "", "");
    Answer answer = issue(token->user, form, false, true);
    json document = json::parse(answer.body);
    document["refresh_token"] = text;
    answer.body = document.dump();
    co_return answer;
  }
  co_return error_answer(400, "UNSUPPORTED", "grant_type is neither password nor refresh_token");
}

}  // namespace kiln::registry::detail
