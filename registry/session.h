#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/http_client.h"
#include "registry/credentials.h"

namespace kiln::registry {

// How a registry is asked: retries with growing, jittered pauses on 429, 5xx and broken connections.
struct RetryPolicy {
  int attempts = 5;
  Duration first_pause = std::chrono::milliseconds(150);  // doubles; 2.2 s in all for five attempts
  Duration longest_pause = std::chrono::seconds(10);
  Duration longest_wait = std::chrono::minutes(1);  // that a registry may ask for (Retry-After)
};

// Talks to one registry host about one repository: adds authorization (Basic, or Bearer by the token flow),
// follows redirects by hand without ever taking the authorization to another host, and retries. Thread-safe.
class Session {
 public:
  Session(const HttpClient& http, const CredentialFiles& credentials, std::string host,
          std::string repository, RetryPolicy retries);

  // `target` is a path below the registry ("/v2/…") or an absolute URL on it (an upload's Location).
  // `actions` is the scope asked for: "pull" or "pull,push". The request's url is filled in here.
  // Statuses other than 401, 403, 429 and 5xx come back as they are. Throws Unavailable
  // "registry HOST did not answer …", or Failed when access is denied.
  HttpResponse send(HttpRequest request, std::string_view target, std::string_view actions,
                    const HttpSink& sink, std::stop_token stop);
  // The same, once: for bodies that the caller starts anew himself.
  HttpResponse send_once(HttpRequest request, std::string_view target, std::string_view actions,
                         const HttpSink& sink, std::stop_token stop);

  // Waits before attempt number `attempt` (from 1), at least as long as a Retry-After says; false when the
  // attempts are used up. Throws Unavailable when the registry wants more time than anybody would wait.
  bool pause(int attempt, std::string_view retry_after, std::stop_token stop) const;

  const std::string& host() const { return host_; }
  const std::string& repository() const { return repository_; }
  const std::string& base_url() const { return base_; }

 private:
  HttpResponse follow(HttpRequest& request, Url url, std::string_view actions, const HttpSink& sink,
                      const std::stop_token& stop);
  bool authorize(const HttpResponse& refused, std::string_view actions, const std::stop_token& stop);
  std::string fetch_token(const std::map<std::string, std::string>& challenge, const std::string& scope,
                          const Credentials& credentials, const std::stop_token& stop);
  [[noreturn]] void deny(const HttpResponse& response, std::string_view actions);

  const HttpClient& http_;
  const CredentialFiles& files_;
  const std::string host_, repository_;
  std::string base_;  // "https://registry-1.docker.io"
  Url origin_;
  RetryPolicy retries_;

  std::mutex mutex_;  // guards what follows
  struct Authorization {
    std::string header;
    std::chrono::steady_clock::time_point expires;
  };
  std::map<std::string, Authorization, std::less<>> authorizations_;  // by actions
};

}  // namespace kiln::registry
