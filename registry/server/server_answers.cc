#include "registry/server/server_answers.h"

#include "base/text.h"
#include "registry/server/registry_hooks.h"
#include "registry/store/index_full.h"

namespace kiln::registry::detail {
namespace {

std::vector<std::string_view> methods_of(std::string_view path) {
  const auto route = parse_route(path);
  if (!route) return {"GET", "POST"};  // the token endpoint
  switch (route->kind) {
    case Route::Kind::Manifest:
      return {"GET", "HEAD", "PUT", "DELETE"};
    case Route::Kind::Blob:
      return {"GET", "HEAD", "DELETE"};
    case Route::Kind::Uploads:
      return {"POST"};
    case Route::Kind::Upload:
      return {"GET", "PATCH", "PUT", "DELETE"};
    default:
      return {"GET", "HEAD"};
  }
}

}  // namespace

const char* endpoint_of(std::string_view path) {
  const auto route = parse_route(path);
  if (!route) return "other";
  switch (route->kind) {
    case Route::Kind::Base:
      return "base";
    case Route::Kind::Catalog:
      return "catalog";
    case Route::Kind::Tags:
      return "tags";
    case Route::Kind::Referrers:
      return "referrers";
    case Route::Kind::Manifest:
      return "manifests";
    case Route::Kind::Blob:
      return "blobs";
    case Route::Kind::Uploads:
    case Route::Kind::Upload:
      return "uploads";
  }
  return "other";
}

Answer failure_answer(const Error& error, std::string_view path) {
  const std::string message = error.full() + (error.hint().empty() ? "" : "; " + error.hint());
  if (const auto* refused = dynamic_cast<const RegistryHooks::Refused*>(&error))
    return error_answer(refused->refusal.status, refused->refusal.code, refused->refusal.message);
  if (error.kind() == ErrorKind::NotFound)
    return error_answer(
        404, endpoint_of(path) == std::string_view("blobs") ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN", message);
  if (dynamic_cast<const RegistryHooks::Loop*>(&error)) return error_answer(508, "UNSUPPORTED", message);
  if (dynamic_cast<const IndexFull*>(&error)) return error_answer(507, "DENIED", message);
  if (error.kind() == ErrorKind::TimedOut) return error_answer(408, "UNKNOWN", message);
  if (error.kind() == ErrorKind::Unavailable) return error_answer(503, "UNAVAILABLE", message);
  return error_answer(500, "UNKNOWN", message);
}

std::string allowed_methods(std::string_view path, const RegistrySettings& settings,
                            std::string_view refused) {
  const bool is_content = endpoint_of(path) != std::string_view("uploads");
  std::vector<std::string> out;
  for (const std::string_view method : methods_of(path)) {
    const bool reads = method == "GET" || method == "HEAD" || endpoint_of(path) == std::string_view("other");
    if (method == refused || (settings.read_only && !reads)) continue;
    if (method == "DELETE" && is_content && !settings.allow_delete) continue;
    out.emplace_back(method);
  }
  return join(out, ", ");
}

void add_common(HttpHeaders& headers) {
  headers.add("Docker-Distribution-Api-Version", "registry/2.0");
  headers.add("X-Content-Type-Options", "nosniff");
  headers.add("Content-Security-Policy", "default-src 'none'; sandbox");
}

HttpHeaders blob_headers(const Digest& digest) {
  HttpHeaders headers;
  headers.add("Content-Type", "application/octet-stream");
  headers.add("Docker-Content-Digest", digest.text());
  add_common(headers);
  headers.add("ETag", "\"" + digest.text() + "\"");
  headers.add("Accept-Ranges", "bytes");
  return headers;
}

}  // namespace kiln::registry::detail
