#pragma once

#include <chrono>
#include <curl/curl.h>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace kiln::steps {

// One request of a probe, by libcurl: no proxy, no credentials, no cookies, no redirects followed, whatever
// certificate. Used by ask_probe.cc only.
struct ProbeRequest {
  std::string url;                   // its host is resolved on this machine
  std::string target;                // of the request line; empty: the URL's own
  std::function<UniqueFd()> socket;  // a TCP socket to connect by; none: one of this process
  bool connect_only = false;
  bool http2 = false;  // from the first byte on (prior knowledge)
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // not empty: POST
  std::chrono::milliseconds timeout{};
};

struct ProbeAnswer {
  CURLcode code = CURLE_OK;
  std::string problem;  // in words, when `code` is not CURLE_OK
  long status = 0;      // as soon as there was one, whatever came of the rest
  std::string body;     // its first bytes
  std::string redirect;
  std::vector<std::string> header_lines;  // trailers, too
};

// Blocks until it is answered, the timeout is over, or `stop`. Throws what `socket` throws.
ProbeAnswer send(const ProbeRequest& request, const std::stop_token& stop);

}  // namespace kiln::steps
