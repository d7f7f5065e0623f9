#include "base/toml.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/toml_parser.h"

namespace kiln {
namespace {

using nlohmann::json;

json to_json(const toml::node& node) {
  if (const auto* table = node.as_table()) {
    json object = json::object();
    for (const auto& [key, value] : *table) object[std::string(key.str())] = to_json(value);
    return object;
  }
  if (const auto* array = node.as_array()) {
    json list = json::array();
    for (const auto& value : *array) list.push_back(to_json(value));
    return list;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* boolean = node.as_boolean()) return boolean->get();
  std::ostringstream out;
  if (const auto* value = node.as_date()) out << value->get();
  if (const auto* value = node.as_time()) out << value->get();
  if (const auto* value = node.as_date_time()) out << value->get();
  return out.str();
}

template <class Container, class Adder>
void add_converted(Container& into, const json& value, const Adder& add);

toml::table to_table(const json& object);

toml::array to_array(const json& list) {
  toml::array array;
  for (const json& value : list)
    add_converted(array, value, [](toml::array& a, auto&& v) { a.push_back(v); });
  return array;
}

template <class Container, class Adder>
void add_converted(Container& into, const json& value, const Adder& add) {
  if (value.is_object())
    add(into, to_table(value));
  else if (value.is_array())
    add(into, to_array(value));
  else if (value.is_string())
    add(into, value.get<std::string>());
  else if (value.is_boolean())
    add(into, value.get<bool>());
  else if (value.is_number_integer())
    add(into, value.get<int64_t>());
  else if (value.is_number())
    add(into, value.get<double>());
}

toml::table to_table(const json& object) {
  toml::table table;
  for (const auto& [key, value] : object.items())
    add_converted(table, value, [&, &name = key](toml::table& t, auto&& v) {
      t.insert_or_assign(name, std::forward<decltype(v)>(v));
    });
  return table;
}

}  // namespace

json parse_toml(std::string_view text, std::string_view name) {
  const toml::parse_result result = toml::parse(text, name);
  if (!result) {
    const toml::parse_error& error = result.error();
    std::ostringstream message;
    message << name << ":" << error.source().begin.line << ":" << error.source().begin.column << ": "
            << error.description();
    throw Error(ErrorKind::Invalid, message.str());
  }
  return to_json(result.table());
}

std::string to_toml(const json& value) {
  std::ostringstream out;
  out << toml::toml_formatter(to_table(value), toml::format_flags::none) << "\n";
  return out.str();
}

}  // namespace kiln
