#pragma once

#include <exception>
#include <string>

#include "base/http_server.h"
#include "serving/instance.h"

namespace kiln::serving {

// The instance went away before it answered anything; the request, untouched, may go to another one.
struct InstanceGone : std::exception {
  const char* what() const noexcept override { return "the instance closed the connection"; }
};

struct ProxyOptions {
  Duration response_start{};  // how long until the first byte of the answer
  std::string revision;
};

// Passes one request to an instance and its answer back (RFC 9110 section 7.6, RFC 7239): streams both bodies,
// passes upgrades (WebSocket) through, adds Forwarded and X-Forwarded-*. Throws InstanceGone while nothing of
// the request's body has been taken, Failed for a broken answer, TimedOut when there is none in time.
Awaitable<void> proxy(HttpExchange& exchange, Instance& instance, const ProxyOptions& options);

}  // namespace kiln::serving
