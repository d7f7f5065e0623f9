#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "base/http.h"
#include "base/http_tls.h"

namespace kiln {

// The body of a request: at most one of its kinds.
struct HttpBody {
  std::string text;
  int fd = -1;  // borrowed; `length` bytes from `offset`
  uint64_t offset = 0, length = 0;
  // Fills the buffer and returns the count, 0 at the end. Sent chunked unless `length` is set. Cannot be sent
  // a second time, so a connection that breaks before the first answer is an error.
  std::function<size_t(char* buffer, size_t size)> source;

  static HttpBody of_text(std::string text);
  static HttpBody of_file(int fd, uint64_t offset, uint64_t length);
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  HttpHeaders headers{};
  HttpBody body{};
  // Bytes uploaded so far, from time to time.
  std::function<void(uint64_t)> on_upload{};
  // Refuse to connect to addresses that are not public (is_private_address), also by way of a name. For URLs
  // that someone else chose. Where a proxy is configured, only literal addresses can be checked.
  bool public_only = false;
};

struct HttpResponse {
  int status = 0;
  HttpHeaders headers{};
  std::string body{};  // unless it went to a sink
  bool ok() const { return status >= 200 && status < 300; }
};

// Receives the body of a 2xx answer piece by piece; `head` has status and headers. What it throws ends the
// transfer and comes out of send().
using HttpSink = std::function<void(const HttpResponse& head, std::string_view bytes)>;

// The other end is not who it should be, or may not be asked (HttpRequest::public_only). Infrastructure:
// trying again does not help.
struct HttpUntrusted : Error {
  using Error::Error;
};
// It does not take us for who we should be: it wants a certificate, or another one (TlsOptions).
struct HttpNotAdmitted : HttpUntrusted {
  using HttpUntrusted::HttpUntrusted;
};

// A blocking HTTP/1.1 client. Thread-safe; connections are kept and used again by later requests of any
// thread. Redirects are not followed. Proxies come from the environment (never for the machine itself), CAs
// from the system or SSL_CERT_FILE.
class HttpClient {
 public:
  struct Options {
    Duration connect_timeout = std::chrono::seconds(10);
    Duration stall_timeout = std::chrono::seconds(60);  // no byte either way for so long
    uint64_t lowest_rate = 0;                           // bytes a second over such a time (transfer_watch.h)
    uint64_t body_limit = 8u << 20;                     // of a body that is kept in memory
    std::string user_agent = "kiln/0.1";
    TlsOptions tls{};
    // What holds for one host instead of `tls`. Called by any thread, for each request.
    std::function<TlsOptions(const Url&)> tls_for{};
  };
  HttpClient();
  explicit HttpClient(Options options);
  ~HttpClient();

  // Any status is an answer. Throws Unavailable, naming host and cause, when there is none; HttpUntrusted;
  // Cancelled after a stop request; Invalid for a URL that is none or a body beyond the limit.
  HttpResponse send(const HttpRequest& request, const HttpSink& sink = {}, std::stop_token stop = {}) const;
  HttpResponse get(std::string_view url, std::stop_token stop = {}) const;

  // Whether a TLS handshake with an https URL's host succeeds, whoever it turns out to be. nullopt when
  // nothing listens there.
  std::optional<bool> speaks_tls(const Url& url) const;

 private:
  struct Pool;
  const Options options_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace kiln
