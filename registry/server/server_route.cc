#include "registry/server/server_route.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace kiln::registry::detail {
namespace {

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || at != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<Route> parse_route(std::string_view path) {
  if (path == "/v2" || path == "/v2/") return Route{};
  if (!path.starts_with("/v2/")) return std::nullopt;
  path.remove_prefix(4);
  if (path == "_catalog") return Route{Route::Kind::Catalog, {}, {}};
  const auto below = [&](std::string_view mark, Route::Kind kind) -> std::optional<Route> {
    const size_t at = path.rfind(mark);
    if (at == std::string_view::npos || at == 0) return std::nullopt;
    return Route{kind, std::string(path.substr(0, at)), percent_decode(path.substr(at + mark.size()))};
  };
  if (path.ends_with("/tags/list"))
    return Route{Route::Kind::Tags, std::string(path.substr(0, path.size() - 10)), {}};
  if (path.ends_with("/blobs/uploads"))
    return Route{Route::Kind::Uploads, std::string(path.substr(0, path.size() - 14)), {}};
  if (auto route = below("/blobs/uploads/", Route::Kind::Upload)) {
    if (route->argument.empty()) route->kind = Route::Kind::Uploads;
    return route;
  }
  for (const auto& [mark, kind] : {std::pair{"/blobs/", Route::Kind::Blob},
                                   {"/manifests/", Route::Kind::Manifest},
                                   {"/referrers/", Route::Kind::Referrers}})
    if (auto route = below(mark, kind); route && route->argument.find('/') == std::string::npos) return route;
  return std::nullopt;
}

Answer error_answer(int status, std::string_view code, std::string_view message) {
  Answer answer{status, {}, {}};
  answer.headers.add("Content-Type", "application/json");
  const nlohmann::json error{{"code", code}, {"message", message}, {"detail", nlohmann::json::object()}};
  answer.body =
      nlohmann::json{{"errors", {error}}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return answer;
}

RangeKind parse_range(std::string_view header, uint64_t size, ByteRange& range) {
  if (!header.starts_with("bytes=") || header.find(',') != std::string_view::npos) return RangeKind::None;
  header.remove_prefix(6);
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos) return RangeKind::None;
  const std::string_view first_text = header.substr(0, dash), last_text = header.substr(dash + 1);
  const auto first = number(first_text), last = number(last_text);
  if (first_text.empty()) {  // the last so many bytes
    if (!last) return RangeKind::None;
    if (*last == 0 || size == 0) return RangeKind::Unsatisfiable;
    range.length = std::min(*last, size);
    range.from = size - range.length;
    return RangeKind::Partial;
  }
  if (!first || (!last_text.empty() && !last)) return RangeKind::None;
  if (*first >= size || (last && *last < *first)) return RangeKind::Unsatisfiable;
  range.from = *first;
  range.length = std::min(last.value_or(size - 1), size - 1) - *first + 1;
  return RangeKind::Partial;
}

bool is_range_of(std::string_view if_range, std::string_view etag) {
  return if_range.empty() || trim(if_range) == etag;  // compared strongly; we give no dates
}

bool matches_etag(std::string_view header, std::string_view etag) {
  if (etag.empty()) return false;
  if (trim(header) == "*") return true;
  return std::ranges::any_of(split(header, ','), [&](const std::string& item) {
    std::string_view one = trim(item);
    if (one.starts_with("W/")) one.remove_prefix(2);
    return one == etag;
  });
}

std::optional<ByteRange> parse_content_range(std::string_view header) {
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = number(header.substr(0, dash)), last = number(header.substr(dash + 1));
  if (!first || !last || *last < *first || *last == UINT64_MAX) return std::nullopt;
  return ByteRange{*first, *last - *first + 1};
}

}  // namespace kiln::registry::detail
