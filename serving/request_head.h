#pragma once

#include <string>

#include "base/http.h"
#include "base/http_server.h"

namespace kiln::serving {

// The head of a request as the instance gets it: end-to-end fields, Forwarded and X-Forwarded-*, and framing.
std::string request_head(const HttpExchange& exchange, bool upgrade);

// Whether the client asks to leave HTTP/1.1 in a way that can be passed on (WebSocket can, h2c cannot).
bool wants_tunnel(const HttpExchange& exchange);

// The end-to-end fields of an answer.
HttpHeaders end_to_end(const HttpHeaders& headers);

}  // namespace kiln::serving
