#include "registry/session.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <curl/curl.h>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "base/text.h"
#include "registry/challenge.h"

namespace kiln::registry {
namespace {

constexpr int kRedirectLimit = 6;
constexpr auto kLeastTokenLife = std::chrono::seconds(60);  // distribution's token specification

bool is_worth_retrying(int status) {
  return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

// The first error of a distribution-spec error document, or the body's beginning.
std::string explanation(const HttpResponse& response) {
  const auto document = nlohmann::json::parse(response.body, nullptr, false);
  if (document.is_object() && document.contains("errors") && document["errors"].is_array() &&
      !document["errors"].empty() && document["errors"][0].is_object()) {
    const auto& error = document["errors"][0];
    return error.value("code", "") + (error.contains("message") && error["message"].is_string()
                                          ? ": " + error["message"].get<std::string>()
                                          : "");
  }
  return "HTTP " + std::to_string(response.status) + " " + std::string(http_reason(response.status));
}

// RFC 9110, 10.2.3: seconds, or a date. Zero when it is neither.
Duration asked_wait(std::string_view retry_after) {
  if (retry_after.empty()) return {};
  const std::string text(retry_after);
  constexpr int64_t kYear = 366 * 24 * 3600;
  if (text.find_first_not_of("0123456789") == std::string::npos)
    return std::chrono::seconds(text.size() > 9 ? kYear : std::min<int64_t>(std::stoll(text), kYear));
  const time_t until = ::curl_getdate(text.c_str(), nullptr);
  return std::chrono::seconds(until < 0 ? 0 : std::clamp<int64_t>(until - ::time(nullptr), 0, kYear));
}

// Not worth another try.
Error untrusted_redirect(const std::string& host, const std::string& where) {
  return Error(ErrorKind::Infrastructure, "registry " + host + " redirects " + where + "; not following it");
}

}  // namespace

Session::Session(const HttpClient& http, const CredentialFiles& credentials, std::string host,
                 std::string repository, RetryPolicy retries)
    : http_(http),
      files_(credentials),
      host_(std::move(host)),
      repository_(std::move(repository)),
      retries_(retries) {
  const std::string server = host_ == "docker.io" ? "registry-1.docker.io" : host_;
  auto url = Url::parse("https://" + server + "/");
  if (url && is_loopback_host(url->host)) url = Url::parse("http://" + server + "/");
  if (!url)
    throw Error(ErrorKind::Invalid, "\"" + host_ + "\" is not a registry host", "write HOST or HOST:PORT");
  origin_ = *url;
  base_ = url->scheme + "://" + url->authority();
}

bool Session::pause(int attempt, std::string_view retry_after, std::stop_token stop) const {
  if (attempt >= retries_.attempts) return false;
  thread_local std::minstd_rand random{std::random_device{}()};
  Duration pause = std::min(retries_.longest_pause, retries_.first_pause * (1 << std::min(attempt - 1, 20)));
  pause = pause / 2 + Duration(std::uniform_int_distribution<int64_t>(0, pause.count() / 2 + 1)(random));
  if (const Duration asked = asked_wait(retry_after); asked > retries_.longest_wait)
    throw Error(ErrorKind::Unavailable,
                "registry " + host_ + " is busy and asks to wait for " + format_seconds(seconds(asked)),
                "try again then");
  else
    pause = std::max(pause, asked);
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any never;
  never.wait_for(lock, stop, pause, [] { return false; });
  if (stop.stop_requested())
    throw Error(ErrorKind::Cancelled, "talking to registry " + host_ + " was cancelled");
  return true;
}

HttpResponse Session::send(HttpRequest request, std::string_view target, std::string_view actions,
                           const HttpSink& sink, std::stop_token stop) {
  for (int attempt = 1;; ++attempt) {
    try {
      HttpResponse response = send_once(request, target, actions, sink, stop);
      if (!is_worth_retrying(response.status)) return response;
      if (!pause(attempt, response.headers.get("Retry-After"), stop))
        throw Error(ErrorKind::Unavailable,
                    "registry " + host_ + " does not serve the request: " + explanation(response),
                    "it may be overloaded; try again later");
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Unavailable || error.message().starts_with("registry ") ||
          error.message().starts_with("refusing"))
        throw;
      if (!pause(attempt, {}, stop))
        throw Error(ErrorKind::Unavailable,
                    "registry " + host_ + " did not answer (" + std::to_string(attempt) +
                        " attempts): " + error.full(),
                    error.hint());
    }
  }
}

HttpResponse Session::send_once(HttpRequest request, std::string_view target, std::string_view actions,
                                const HttpSink& sink, std::stop_token stop) {
  auto url = origin_.resolve(target);
  if (!url) throw Error(ErrorKind::Unavailable, "registry " + host_ + " sent an address that is none");
  // An upload's Location. A registry behind a TLS-ending proxy may name itself with the wrong scheme or port.
  if (url->host != origin_.host)
    throw Error(ErrorKind::Unavailable, "registry " + host_ + " points to another host, " + url->authority() +
                                            "; not following it there");
  url->scheme = origin_.scheme;
  url->port = origin_.port;
  HttpResponse response = follow(request, *url, actions, sink, stop);
  if (response.status == 401 && authorize(response, actions, stop))
    response = follow(request, *url, actions, sink, stop);
  if (response.status == 401 || response.status == 403) deny(response, actions);
  return response;
}

HttpResponse Session::follow(HttpRequest& request, Url url, std::string_view actions, const HttpSink& sink,
                             const std::stop_token& stop) {
  for (int hops = 0; hops < kRedirectLimit; ++hops) {
    const bool at_home = url.host == origin_.host && url.port == origin_.port && url.scheme == origin_.scheme;
    request.url = url.text();
    request.headers.remove("Authorization");
    request.public_only = !at_home && !is_private_address(origin_.host);
    // Where machines of a cloud keep their keys; nobody's blobs are there.
    if (!at_home && is_link_local_address(url.host)) throw untrusted_redirect(host_, "to " + url.authority());
    if (at_home) {
      std::lock_guard lock(mutex_);
      const auto it = authorizations_.find(actions);
      if (it != authorizations_.end() && it->second.expires > std::chrono::steady_clock::now())
        request.headers.add("Authorization", it->second.header);
    }
    HttpResponse response = http_.send(request, sink, stop);
    const bool is_redirect = response.status == 301 || response.status == 302 || response.status == 303 ||
                             response.status == 307 || response.status == 308;
    const std::string_view location = response.headers.get("Location");
    if (!is_redirect || location.empty()) return response;
    if (request.method != "GET" && request.method != "HEAD")
      throw untrusted_redirect(host_, "a " + request.method);
    const auto next = url.resolve(location);
    if (!next || (url.scheme == "https" && next->scheme != "https"))
      throw untrusted_redirect(host_, "to " + std::string(location.substr(0, 200)));
    url = *next;
  }
  throw untrusted_redirect(host_, "in circles");
}

bool Session::authorize(const HttpResponse& refused, std::string_view actions, const std::stop_token& stop) {
  const Credentials credentials = files_.find(host_, repository_);
  for (const std::string_view header : refused.headers.all("WWW-Authenticate")) {
    for (const Challenge& challenge : parse_challenges(header)) {
      Authorization authorization;
      if (challenge.scheme == "basic" && !credentials.username.empty()) {
        authorization = {"Basic " + base64_encode(credentials.username + ":" + credentials.password),
                         std::chrono::steady_clock::time_point::max()};
      } else if (challenge.scheme == "bearer" && challenge.parameters.contains("realm")) {
        const std::string scope =
            repository_.empty() ? "" : "repository:" + repository_ + ":" + std::string(actions);
        authorization = {"Bearer " + fetch_token(challenge.parameters, scope, credentials, stop),
                         std::chrono::steady_clock::now() + kLeastTokenLife};
      } else {
        continue;
      }
      std::lock_guard lock(mutex_);
      authorizations_.insert_or_assign(std::string(actions), std::move(authorization));
      return true;
    }
  }
  return false;
}

std::string Session::fetch_token(const std::map<std::string, std::string>& challenge,
                                 const std::string& scope, const Credentials& credentials,
                                 const std::stop_token& stop) {
  const auto realm = Url::parse(challenge.at("realm"));
  const auto untrusted = [&](std::string_view why) {
    return Error(ErrorKind::Unavailable, "registry " + host_ + " sends to " +
                                             challenge.at("realm").substr(0, 200) +
                                             " for a token: " + std::string(why));
  };
  if (!realm) throw untrusted("that is no URL");
  if (realm->scheme != "https" && origin_.scheme == "https") throw untrusted("that is not encrypted");
  std::string service;
  if (const auto it = challenge.find("service"); it != challenge.end()) service = it->second;
  std::string all_scopes = scope;
  if (all_scopes.empty())
    if (const auto it = challenge.find("scope"); it != challenge.end()) all_scopes = it->second;

  HttpResponse response;
  const bool public_only = !is_private_address(origin_.host);
  if (!credentials.identity_token.empty()) {
    HttpRequest request{.method = "POST", .url = realm->text(), .public_only = public_only};
    request.headers.add("Content-Type", "application/x-www-form-urlencoded");
    request.body =
        HttpBody::of_text("grant_type=refresh_token&client_id=kiln&service=" + percent_encode(service) +
                          "&scope=" + percent_encode(all_scopes) +
                          "&refresh_token=" + percent_encode(credentials.identity_token));
    response = http_.send(request, {}, stop);
  }
  if (credentials.identity_token.empty() || response.status == 404 || response.status == 405) {
    std::string url = realm->text();
    url += url.find('?') == std::string::npos ? '?' : '&';
    url += "service=" + percent_encode(service);
    for (const std::string& one : split(all_scopes, ' '))
      if (!one.empty()) url += "&scope=" + percent_encode(one, ":/,");
    HttpRequest request{.url = url, .public_only = public_only};
    if (!credentials.username.empty()) {
      request.url += "&account=" + percent_encode(credentials.username);
      request.headers.add("Authorization",
                          "Basic " + base64_encode(credentials.username + ":" + credentials.password));
    }
    response = http_.send(request, {}, stop);
  }
  if (response.status == 401 || response.status == 403) deny(response, "pull");
  if (!response.ok())
    throw Error(ErrorKind::Unavailable, realm->authority() + " gives no token: " + explanation(response));
  if (response.body.size() > (1u << 20)) throw untrusted("its answer is too large");
  const auto document = nlohmann::json::parse(response.body, nullptr, false);
  if (document.is_object())
    for (const char* name : {"token", "access_token"})
      if (document.contains(name) && document[name].is_string()) return document[name].get<std::string>();
  throw untrusted("its answer holds no token");
}

void Session::deny(const HttpResponse& response, std::string_view actions) {
  const bool may_write = actions.find("push") != std::string_view::npos;
  throw Error(ErrorKind::Failed,
              "registry " + host_ + " does not let " + (may_write ? "push to " : "pull from ") + repository_ +
                  ": " + explanation(response),
              "log in with `kiln login " + host_ + "`, and check that the repository's name is right");
}

}  // namespace kiln::registry
