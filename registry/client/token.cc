#include "registry/client/token.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"

namespace kiln::registry::detail {
namespace {

constexpr size_t kAnswerLimit = 1u << 20;

// An identity token is exchanged by POST (OAuth 2); issuers that do not know that say so.
HttpResponse exchange(const HttpClient& http, const Url& realm, const std::string& service,
                      const std::string& scopes, const TokenRequest& wanted, bool public_only,
                      const std::stop_token& stop) {
  HttpRequest request{.method = "POST", .url = realm.text(), .public_only = public_only};
  request.headers.add("Content-Type", "application/x-www-form-urlencoded");
  request.body =
      HttpBody::of_text("grant_type=refresh_token&client_id=kiln&service=" + percent_encode(service) +
                        "&scope=" + percent_encode(scopes) +
                        "&refresh_token=" + percent_encode(wanted.credentials.identity_token));
  return http.send(request, {}, stop);
}

HttpResponse get(const HttpClient& http, const Url& realm, const std::string& service,
                 const std::string& scopes, const TokenRequest& wanted, bool public_only,
                 const std::stop_token& stop) {
  std::string url = realm.text();
  url += url.find('?') == std::string::npos ? '?' : '&';
  url += "service=" + percent_encode(service);
  for (const std::string& one : split(scopes, ' '))
    if (!one.empty()) url += "&scope=" + percent_encode(one, ":/,");
  HttpRequest request{.url = url, .public_only = public_only};
  const Credentials& credentials = wanted.credentials;
  if (!credentials.username.empty()) {
    request.url += "&account=" + percent_encode(credentials.username);
    request.headers.add("Authorization",
                        "Basic " + base64_encode(credentials.username + ":" + credentials.password));
  }
  return http.send(request, {}, stop);
}

std::chrono::seconds life_of(const nlohmann::json& answer) {
  constexpr int64_t kLeast = 60, kMost = 24 * 3600;
  const auto given = answer.find("expires_in");
  if (given == answer.end() || !given->is_number()) return std::chrono::seconds(kLeast);
  return std::chrono::seconds(static_cast<int64_t>(
      std::clamp(given->get<double>(), static_cast<double>(kLeast), static_cast<double>(kMost))));
}

}  // namespace

std::string explanation(const HttpResponse& response) {
  const auto document = nlohmann::json::parse(response.body, nullptr, false);
  if (document.is_object() && document.contains("errors") && document["errors"].is_array() &&
      !document["errors"].empty() && document["errors"][0].is_object()) {
    const auto text = [&](const char* name) {
      const auto& error = document["errors"][0];
      return error.contains(name) && error[name].is_string() ? error[name].get<std::string>() : std::string{};
    };
    const std::string code = text("code"), message = text("message");
    return code + (code.empty() || message.empty() ? "" : ": ") + message;
  }
  return "HTTP " + std::to_string(response.status) + " " + std::string(http_reason(response.status));
}

Token fetch_token(const HttpClient& http, const Challenge& challenge, const TokenRequest& wanted,
                  HttpResponse& refused, const std::stop_token& stop) {
  const auto parameter = [&](const char* name) {
    const auto it = challenge.parameters.find(name);
    return it == challenge.parameters.end() ? std::string{} : it->second;
  };
  const std::string where = parameter("realm");
  const auto untrusted = [&](std::string_view why) {
    return Error(ErrorKind::Infrastructure, "registry " + wanted.host + " sends to " + where.substr(0, 200) +
                                                " for a token: " + std::string(why));
  };
  const auto realm = Url::parse(where);
  if (!realm) throw untrusted("that is no URL");
  if (realm->scheme != "https" && wanted.origin.scheme == "https") throw untrusted("that is not encrypted");
  if (is_link_local_address(realm->host)) throw untrusted("no registry's issuer is there");
  const std::string service = parameter("service");
  const std::string scopes = wanted.scope.empty() ? parameter("scope") : wanted.scope;
  const bool public_only = !is_private_address(wanted.origin.host) && realm->host != wanted.origin.host;

  HttpResponse response;
  if (!wanted.credentials.identity_token.empty())
    response = exchange(http, *realm, service, scopes, wanted, public_only, stop);
  if (wanted.credentials.identity_token.empty() || response.status == 404 || response.status == 405)
    response = get(http, *realm, service, scopes, wanted, public_only, stop);
  if (response.status == 401 || response.status == 403) {
    refused = std::move(response);
    return {};
  }
  if (!response.ok())
    throw Error(ErrorKind::Unavailable, realm->authority() + " gives no token: " + explanation(response));
  if (response.body.size() > kAnswerLimit) throw untrusted("its answer is too large");
  const auto document = nlohmann::json::parse(response.body, nullptr, false);
  if (document.is_object())
    for (const char* name : {"token", "access_token"})
      if (document.contains(name) && document[name].is_string())
        return {document[name].get<std::string>(), life_of(document)};
  throw untrusted("its answer holds no token");
}

}  // namespace kiln::registry::detail
