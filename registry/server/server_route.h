#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/http.h"

// Inside of registry/server/server.cc: which endpoint of the distribution-spec a path is, and what an answer
// is.
namespace kiln::registry::detail {

struct Route {
  enum class Kind { Base, Catalog, Blob, Uploads, Upload, Manifest, Tags, Referrers } kind = Kind::Base;
  std::string repository;
  std::string argument;  // digest, tag or upload ID, as written
};

// nullopt for a path that is no endpoint. The repository's name is not checked.
std::optional<Route> parse_route(std::string_view path);

struct Answer {
  int status = 200;
  HttpHeaders headers{};
  std::string body{};
  bool sent = false;  // by the endpoint itself; `status` says what it was
};

// The standard error document (distribution-spec, "Error codes").
Answer error_answer(int status, std::string_view code, std::string_view message);

// One byte range of `size` bytes: [from, from + length).
struct ByteRange {
  uint64_t from = 0, length = 0;
};
enum class RangeKind { None, Partial, Unsatisfiable };
// A Range header (RFC 9110, 14.2). Several ranges, and what is malformed, count as none;
// one that ends before it begins cannot be satisfied.
RangeKind parse_range(std::string_view header, uint64_t size, ByteRange& range);

// Whether a Range counts that came with this If-Range (RFC 9110, 13.1.5), or without one ("").
bool is_range_of(std::string_view if_range, std::string_view etag);

// Whether an If-None-Match header (RFC 9110, 13.1.2) names this entity tag: the client has it already.
bool matches_etag(std::string_view header, std::string_view etag);

// An upload's Content-Range, "first-last"; nullopt when malformed.
std::optional<ByteRange> parse_content_range(std::string_view header);

}  // namespace kiln::registry::detail
