#pragma once

#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"
#include "registry/server/registry_settings.h"
#include "registry/server/server_route.h"

// Inside of registry/server/server.cc: what its answers have in common.
namespace kiln::registry::detail {

// The endpoint that a path is, as metrics call it; "other" for none.
const char* endpoint_of(std::string_view path);

// The error document for what was thrown while the path was answered.
Answer failure_answer(const Error& error, std::string_view path);

// The header Allow of a 405 (RFC 9110, 15.5.6): the endpoint's methods but for those that the settings forbid
// and the one that was refused just now.
std::string allowed_methods(std::string_view path, const RegistrySettings& settings,
                            std::string_view refused);

// The headers of every answer. What strangers pushed is not to be taken for a page of this server, which has
// an API beside the registry.
void add_common(HttpHeaders& headers);
HttpHeaders blob_headers(const Digest& digest);

}  // namespace kiln::registry::detail
