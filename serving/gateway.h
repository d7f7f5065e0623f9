#pragma once

#include "base/http_server.h"
#include "serving/serving.h"

namespace kiln::serving {

// Answers requests whose Host names a service: finds the revision, waits for an instance (starting it from
// zero), passes the request through. A request that an instance dropped before answering goes to another.

Awaitable<void> serve_service(Serving& serving, HttpExchange& exchange);

}  // namespace kiln::serving
