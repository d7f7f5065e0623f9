#include "dag/cel/json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/utf8.h"
#include "dag/cel/time.h"

namespace kiln::cel {
namespace {

using nlohmann::json;
using Kind = Value::Kind;

constexpr size_t kDeepest = 500;

[[noreturn]] void refuse(std::string message) {
  throw Error(ErrorKind::Invalid, std::move(message));
}

Value text(const std::string& from) {
  if (find_invalid_utf8(from)) refuse("JSON holds a string that is not UTF-8");
  return Value::string(from);
}

Value convert(const json& from, size_t depth) {
  if (depth > kDeepest) refuse("JSON is nested more than " + std::to_string(kDeepest) + " levels deep");
  switch (from.type()) {
    case json::value_t::boolean:
      return Value::boolean(from.get<bool>());
    case json::value_t::number_integer:
      return Value::integer(from.get<int64_t>());
    case json::value_t::number_unsigned: {
      const auto number = from.get<uint64_t>();
      if (number > INT64_MAX) return Value::unsigned_integer(number);
      return Value::integer(static_cast<int64_t>(number));
    }
    case json::value_t::number_float:
      return Value::number(from.get<double>());
    case json::value_t::string:
      return text(from.get_ref<const std::string&>());
    case json::value_t::array: {
      Value::List items;
      items.reserve(from.size());
      for (const json& item : from) items.push_back(convert(item, depth + 1));
      return Value::list(std::move(items));
    }
    case json::value_t::object: {
      std::vector<Map::Entry> entries;
      entries.reserve(from.size());
      for (const auto& [key, value] : from.items())
        entries.emplace_back(text(key), convert(value, depth + 1));
      return Value::map(Map(std::move(entries)));
    }
    default:
      return {};
  }
}

std::string base64(const std::string& octets) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < octets.size(); i += 3) {
    const size_t count = std::min<size_t>(3, octets.size() - i);
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (j < count ? static_cast<unsigned char>(octets[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) out += j <= count ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

json from_number(double number) {
  if (std::isfinite(number)) return number;
  return std::isnan(number) ? "NaN" : number < 0 ? "-Infinity" : "Infinity";
}

std::string key_text(const Value& key) {
  switch (key.kind()) {
    case Kind::Bool:
      return key.as_bool() ? "true" : "false";
    case Kind::Int:
      return std::to_string(key.as_int());
    case Kind::Uint:
      return std::to_string(key.as_uint());
    default:
      return key.as_string();
  }
}

json convert(const Value& from, size_t& left) {
  if (left-- == 0) refuse("the value is too large for JSON");
  switch (from.kind()) {
    case Kind::Null:
      return nullptr;
    case Kind::Bool:
      return from.as_bool();
    case Kind::Int:
      return from.as_int();
    case Kind::Uint:
      return from.as_uint();
    case Kind::Double:
      return from_number(from.as_double());
    case Kind::Timestamp:
      return format_timestamp(from.as_timestamp());
    case Kind::Duration:
      return format_duration(from.as_duration());
    case Kind::String:
      return from.as_string();
    case Kind::Bytes:
      return base64(from.as_bytes());
    case Kind::List: {
      json out = json::array();
      for (const Value& item : from.as_list()) out.push_back(convert(item, left));
      return out;
    }
    case Kind::Map: {
      json out = json::object();
      for (const auto& [key, value] : from.as_map().entries()) out[key_text(key)] = convert(value, left);
      return out;
    }
    case Kind::Type:
      break;
  }
  refuse("a type has no form in JSON");
}

}  // namespace

Value from_json(const json& from) {
  return convert(from, 0);
}

json to_json(const Value& value, size_t most_values) {
  return convert(value, most_values);
}

}  // namespace kiln::cel
