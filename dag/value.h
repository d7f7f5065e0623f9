#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"

// The small values that every object of the API is made of. Everything a message could point at keeps its
// position.
namespace kiln::dag {

// A string from a document, and where it stands.
struct Text {
  std::string value;
  Position at;
  bool empty() const { return value.empty(); }
  operator const std::string&() const { return value; }
  bool operator==(const Text&) const = default;
};

enum class ParamType { String, Array, Object };
std::string_view to_string(ParamType type);

// The value of a param or a result.
struct ParamValue {
  ParamType type = ParamType::String;
  std::string text;                           // String
  std::vector<std::string> items;             // Array
  std::map<std::string, std::string> fields;  // Object

  static ParamValue string(std::string text);
  static ParamValue array(std::vector<std::string> items);
  static ParamValue object(std::map<std::string, std::string> fields);
  bool operator==(const ParamValue&) const = default;
};

struct ParamSpec {
  Text name;
  ParamType type = ParamType::String;
  std::vector<std::string> properties;  // keys of an object param
  std::optional<ParamValue> default_value;
  Position default_at;
  std::vector<Text> enumeration;
  std::string description;
};

struct Param {
  Text name;
  ParamValue value;
  Position at;              // of the value
  bool is_default = false;  // nobody gave it
};

struct ResultSpec {
  Text name;
  ParamType type = ParamType::String;
  std::vector<std::string> properties;
  std::optional<ParamValue> value;  // pipeline results; task results taken from a step's result
  Position value_at;
  std::string description;
};

// `when`: either input, operator and values, or a CEL expression.
struct When {
  Text input;
  Text op;  // "in" or "notin"
  std::vector<Text> values;
  Text cel;
  Position at;
};

}  // namespace kiln::dag
