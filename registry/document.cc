#include "registry/document.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace kiln::registry {
namespace {

using nlohmann::json;

constexpr size_t kSizeLimit = 4u << 20;
constexpr int kDepthLimit = 64;

[[noreturn]] void malformed(std::string_view what, std::string_view why) {
  throw Error(ErrorKind::Invalid, "malformed " + std::string(what) + ": " + std::string(why));
}

}  // namespace

json parse_document(std::string_view text, std::string_view what) {
  if (text.size() > kSizeLimit) malformed(what, "larger than 4 MiB");
  const auto check = [&](int depth, json::parse_event_t, json&) {
    if (depth > kDepthLimit) malformed(what, "nested too deeply");
    return true;
  };
  json document = json::parse(text, check, /*allow_exceptions=*/false);
  if (document.is_discarded()) malformed(what, "not JSON");
  if (!document.is_object()) malformed(what, "not a JSON object");
  return document;
}

}  // namespace kiln::registry
