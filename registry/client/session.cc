#include "registry/client/session.h"

#include <algorithm>
#include <cstdlib>
#include <curl/curl.h>
#include <random>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "registry/client/challenge.h"
#include "registry/client/containers_folder.h"
#include "registry/client/token.h"

namespace kiln::registry {
namespace {

constexpr int kRedirectLimit = 6;

bool is_worth_retrying(int status) {
  return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
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

// Where certificates for the host of a URL are looked for first.
fs::path certificates_of(const Environment& environment, const std::string& url) {
  auto folder = user_containers_folder(environment);
  if (folder.empty()) folder = "/etc/containers";
  const auto asked = Url::parse(url);
  return folder / "certs.d" / (asked ? asked->authority() : std::string());
}

// Not worth another try.
Error untrusted_redirect(const std::string& host, const std::string& where) {
  return Error(ErrorKind::Infrastructure, "registry " + host + " redirects " + where + "; not following it");
}

}  // namespace

Session::Session(const HttpClient& http, CredentialFiles credentials, std::string host, Url origin,
                 std::string repository, RetryPolicy retries)
    : http_(http),
      files_(std::move(credentials)),
      host_(std::move(host)),
      repository_(std::move(repository)),
      origin_(std::move(origin)),
      retries_(retries) {}

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
  if (!kiln::pause(stop, pause))
    throw Error(ErrorKind::Cancelled, "talking to registry " + host_ + " was cancelled");
  return true;
}

HttpResponse Session::send(HttpRequest request, std::string_view target, const RepositoryAccess& access,
                           const HttpSink& sink, std::stop_token stop) {
  for (int attempt = 1;; ++attempt) {
    HttpResponse response;
    std::optional<Error> failure;
    try {
      response = send_once(request, target, access, sink, stop);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Unavailable) throw;
      failure = error;
    }
    if (!failure && !is_worth_retrying(response.status)) return response;
    if (pause(attempt, failure ? "" : response.headers.get("Retry-After"), stop)) continue;
    if (!failure)
      throw Error(ErrorKind::Unavailable,
                  "registry " + host_ + " does not serve the request: " + detail::explanation(response),
                  "it may be overloaded; try again later");
    std::string why = failure->full();
    if (const std::string again = host_ + " did not answer: "; why.starts_with(again))
      why.erase(0, again.size());
    throw Error(ErrorKind::Unavailable,
                "registry " + host_ + " did not answer (" + std::to_string(attempt) + " attempts): " + why,
                failure->hint());
  }
}

HttpResponse Session::send_once(HttpRequest request, std::string_view target, const RepositoryAccess& access,
                                const HttpSink& sink, std::stop_token stop) {
  auto url = origin_.resolve(target);
  if (!url) throw Error(ErrorKind::Infrastructure, "registry " + host_ + " sent an address that is none");
  // An upload's Location. A registry behind a TLS-ending proxy may name itself with the wrong scheme or port.
  if (url->host != origin_.host)
    throw Error(ErrorKind::Infrastructure, "registry " + host_ + " points to another host, " +
                                               url->authority() + "; not following it there");
  url->scheme = origin_.scheme;
  url->port = origin_.port;
  std::string scope;
  if (!repository_.empty()) scope = "repository:" + repository_ + ":" + std::string(access.actions);
  if (!access.mount_from.empty()) scope += " repository:" + std::string(access.mount_from) + ":pull";
  if (!via_.empty()) request.headers.add("Via", via_);
  HttpResponse response = follow(request, *url, scope, sink, stop);
  const std::string used(request.headers.get("Authorization"));
  if (response.status == 401 && authorize(response, scope, access, used, stop))
    response = follow(request, *url, scope, sink, stop);
  if (response.status == 401 || response.status == 403) deny(response, access);
  return response;
}

HttpResponse Session::ask(const HttpRequest& request, const HttpSink& sink,
                          const std::stop_token& stop) const {
  const auto folder = certificates_of(files_.environment(), request.url);
  try {
    return http_.send(request, sink, stop);
  } catch (const HttpNotAdmitted& error) {
    throw Error(ErrorKind::Infrastructure, "registry " + host_ + " does not let in who asks: " + error.full(),
                "put your certificate into " + (folder / "client.cert").string() +
                    ", and its key into client.key beside it");
  } catch (const HttpUntrusted& error) {
    throw Error(ErrorKind::Infrastructure, "registry " + host_ + " is not trusted: " + error.full(),
                error.hint().empty() ? "" : "put its CA's certificate into " + (folder / "ca.crt").string());
  }
}

HttpResponse Session::follow(HttpRequest& request, Url url, const std::string& scope, const HttpSink& sink,
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
      const auto it = authorizations_.find(scope);
      if (it != authorizations_.end() && it->second.expires > std::chrono::steady_clock::now())
        request.headers.add("Authorization", it->second.header);
    }
    HttpResponse response = ask(request, sink, stop);
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

bool Session::authorize(const HttpResponse& refused, const std::string& scope, const RepositoryAccess& access,
                        std::string_view used, const std::stop_token& stop) {
  const std::lock_guard one(authorizing_);
  {
    std::lock_guard lock(mutex_);
    const auto it = authorizations_.find(scope);
    if (it != authorizations_.end() && it->second.header != used) return true;  // somebody was quicker
  }
  const Credentials credentials = files_.find(host_, repository_);
  {
    std::lock_guard lock(mutex_);
    logged_in_ = !credentials.empty();
  }
  for (const std::string_view header : refused.headers.all("WWW-Authenticate")) {
    for (const Challenge& challenge : parse_challenges(header)) {
      Authorization authorization;
      if (challenge.scheme == "basic" && !credentials.username.empty()) {
        authorization = {"Basic " + base64_encode(credentials.username + ":" + credentials.password),
                         std::chrono::steady_clock::time_point::max()};
        if (authorization.header == used) continue;  // it was refused already
      } else if (challenge.scheme == "bearer" && !credentials.registry_token.empty()) {
        authorization = {"Bearer " + credentials.registry_token,
                         std::chrono::steady_clock::time_point::max()};
        if (authorization.header == used) continue;
      } else if (challenge.scheme == "bearer" && challenge.parameters.contains("realm")) {
        HttpResponse no;
        const detail::Token token = [&] {
          try {
            return detail::fetch_token(http_, challenge, {host_, origin_, scope, credentials}, no, stop);
          } catch (const HttpUntrusted& error) {
            throw error.because("registry " + host_ + " sends for a token to where none is asked for");
          }
        }();
        if (no.status != 0) deny(no, access);
        authorization = {"Bearer " + token.text, std::chrono::steady_clock::now() + token.life};
      } else {
        continue;
      }
      std::lock_guard lock(mutex_);
      authorizations_.insert_or_assign(scope, std::move(authorization));
      return true;
    }
  }
  return false;
}

void Session::deny(const HttpResponse& response, const RepositoryAccess& access) {
  const bool may_write = access.actions.find("push") != std::string_view::npos;
  const std::string what = repository_.empty() ? "in" : (may_write ? "push to " : "pull from ") + repository_;
  std::lock_guard lock(mutex_);
  // Another login is no help to those whom it knows.
  const bool known = logged_in_ && response.status == 403;
  throw Denied(ErrorKind::Infrastructure,
               "registry " + host_ + " does not let " + what + ": " + detail::explanation(response),
               known
                   ? "check the repository's name; you are logged in there: ask who runs it for the right, "
                     "or log in as somebody else with "
                     "`kiln login " +
                         host_ + "`"
                   : "log in with `kiln login " + host_ + "`, and check that the repository's name is right");
}

}  // namespace kiln::registry
