#pragma once

#include <string_view>

#include "base/digest.h"
#include "base/error.h"
#include "registry/server/server_route.h"

// Inside of registry/server/server.cc: what its answers have in common.
namespace kiln::registry::detail {

// The endpoint that a path is, as metrics call it; "other" for none.
const char* endpoint_of(std::string_view path);

// The error document for what was thrown while the path was answered.
Answer failure_answer(const Error& error, std::string_view path);

// The headers of every answer. What strangers pushed is not to be taken for a page of this server, which has
// an API beside the registry.
void add_common(HttpHeaders& headers);
HttpHeaders blob_headers(const Digest& digest);

}  // namespace kiln::registry::detail
