#pragma once

#include <string>

#include "base/http_server.h"
#include "serving/instance.h"

namespace kiln::serving {

struct ProxyOptions {
  Duration response_start{};  // how long until the first byte of the answer
  bool allow_reused = true;   // a connection kept from an earlier request will do
  std::string revision;
};

// Passes one request to an instance and its answer back (RFC 9110 section 7.6, RFC 7239): streams both
// bodies, at the same time where the instance answers early; passes upgrades (WebSocket) through; adds
// Forwarded and X-Forwarded-*. Throws InstanceGone while the request may still go to another instance: it was
// not sent, or it has no body and its method is idempotent (RFC 9110 section 9.2.2). Throws Failed for a
// broken answer, TimedOut when there is none in time, system_error when the client went away.
Awaitable<void> proxy(HttpExchange& exchange, Instance& instance, const ProxyOptions& options);

}  // namespace kiln::serving
