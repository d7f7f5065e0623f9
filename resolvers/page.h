#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "base/http_client.h"

namespace kiln::resolvers {

// GET, over redirects: to http and https only, never from https to http, never from a public address to a
// private one. Throws Invalid for what is no http(s) URL or larger than `limit`, NotFound for 404 and 410,
// Failed for 401 and 403, Unavailable for all other answers that are no success.
std::string get_page(const HttpClient& http, const std::string& url, uint64_t limit, std::stop_token stop);

}  // namespace kiln::resolvers
