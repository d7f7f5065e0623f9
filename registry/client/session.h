#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/http_client.h"
#include "registry/client/credentials.h"

namespace kiln::registry {

// How a registry is asked: retries with growing, jittered pauses on 429, 5xx and broken connections.
struct RetryPolicy {
  int attempts = 5;
  Duration first_pause = std::chrono::milliseconds(150);  // doubles; 2.2 s in all for five attempts
  Duration longest_pause = std::chrono::seconds(10);
  Duration longest_wait = std::chrono::minutes(1);  // that a registry may ask for (Retry-After)
};

// A registry that says no: to these credentials, or to nobody at all.
struct Denied : Error {
  using Error::Error;
};

// What is to be done with a repository: the scope that a token is asked for.
struct RepositoryAccess {
  RepositoryAccess(const char* given) : actions(given) {}  // "pull", "pull,push"
  std::string_view actions;
  std::string_view mount_from{};  // another repository that is pulled from
};

// Talks to one registry host about one repository: adds authorization (Basic, or Bearer by the token flow),
// follows redirects by hand without ever taking the authorization to another host, and retries. Thread-safe.
class Session {
 public:
  // `origin`: how the registry is reached ("https://registry.example/"); `host`: what people call it.
  Session(const HttpClient& http, CredentialFiles credentials, std::string host, Url origin,
          std::string repository, RetryPolicy retries);

  // `target` is a path below the registry ("/v2/…") or an absolute URL on it (an upload's Location). The
  // request's url is filled in here. Statuses other than 401, 403, 429 and 5xx come back as they are. Throws
  // Unavailable "registry HOST did not answer …", or Denied.
  HttpResponse send(HttpRequest request, std::string_view target, const RepositoryAccess& access,
                    const HttpSink& sink, std::stop_token stop);
  // The same, once: for bodies that the caller starts anew himself.
  HttpResponse send_once(HttpRequest request, std::string_view target, const RepositoryAccess& access,
                         const HttpSink& sink, std::stop_token stop);

  // Waits before attempt number `attempt` (from 1), at least as long as a Retry-After says; false when the
  // attempts are used up. Throws Unavailable when the registry wants more time than anybody would wait.
  bool pause(int attempt, std::string_view retry_after, std::stop_token stop) const;

  // Sent as the header Via (RFC 9110, 7.6.3) from now on: for whoever asks on behalf of others. Before the
  // first request.
  void set_via(std::string via) { via_ = std::move(via); }

  const std::string& host() const { return host_; }
  const std::string& repository() const { return repository_; }
  const Url& origin() const { return origin_; }

 private:
  HttpResponse ask(const HttpRequest& request, const HttpSink& sink, const std::stop_token& stop) const;
  HttpResponse follow(HttpRequest& request, Url url, const std::string& scope, const HttpSink& sink,
                      const std::stop_token& stop);
  bool authorize(const HttpResponse& refused, const std::string& scope, const RepositoryAccess& access,
                 std::string_view used, const std::stop_token& stop);
  [[noreturn]] void deny(const HttpResponse& response, const RepositoryAccess& access);

  const HttpClient& http_;
  const CredentialFiles files_;
  const std::string host_, repository_;
  const Url origin_;
  const RetryPolicy retries_;
  std::string via_;

  std::mutex authorizing_;  // one at a time: the others use what it brings
  std::mutex mutex_;        // guards what follows
  struct Authorization {
    std::string header;
    std::chrono::steady_clock::time_point expires;
  };
  std::map<std::string, Authorization, std::less<>> authorizations_;  // by scope
  bool logged_in_ = false;                                            // there were credentials to show
};

}  // namespace kiln::registry
