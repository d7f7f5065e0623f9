#include "serving/fields.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace kiln::serving {

using nlohmann::json;

namespace {

constexpr int kDepthLimit = 100;
constexpr int kProblemLimit = 50;    // enough to read in one go
constexpr size_t kShownLimit = 200;  // bytes of a path or word that is the user's own

const json kNull;
const json kNoObject = json::object();
const json kNoList = json::array();

std::string shown(const std::string& text) {
  return text.size() <= kShownLimit ? text : text.substr(0, kShownLimit) + "…";
}

}  // namespace

json parse_json(std::string_view text) {
  bool too_deep = false;
  const auto watch = [&](int depth, json::parse_event_t, json&) {
    if (depth > kDepthLimit) too_deep = true;
    return !too_deep;
  };
  json document = json::parse(text, watch, false);
  if (too_deep) throw Error(ErrorKind::Invalid, "the document is nested too deeply");
  if (document.is_discarded()) throw Error(ErrorKind::Invalid, "the document is not JSON");
  return document;
}

const json& member(const json& object, const char* key) {
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

void Fields::problem(const std::string& path, const std::string& what) {
  const std::string line = "\n" + shown(what) + ": " + shown(path);
  if (problems_.find(line) != std::string::npos) return;  // two readers of one field say it once
  if (++count_ <= kProblemLimit) problems_ += line;
}

void Fields::finish(const std::string& title) const {
  if (problems_.empty()) return;
  std::string message = title + problems_;
  if (count_ > kProblemLimit) message += "\n… and " + std::to_string(count_ - kProblemLimit) + " more";
  throw Error(ErrorKind::Invalid, message);
}

void Fields::known(const json& object, const std::string& path, std::initializer_list<const char*> known) {
  const std::vector<std::string> names(known.begin(), known.end());
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(names, key) != names.end()) continue;
    const auto near = key.size() <= kShownLimit ? nearest(key, names) : std::nullopt;
    const std::string at = path.empty() ? key : path + "." + key;
    problem(at, "unknown field" + (near ? " (did you mean " + *near + "?)" : std::string()));
  }
}

const json& Fields::object(const json& object, const char* key, const std::string& path) {
  const json& value = member(object, key);
  if (value.is_object()) return value;
  if (!value.is_null()) problem(path, std::string("expected an object, got ") + value.type_name());
  return kNoObject;
}

const json& Fields::list(const json& object, const char* key, const std::string& path) {
  const json& value = member(object, key);
  if (value.is_array()) return value;
  if (!value.is_null()) problem(path, std::string("expected a list, got ") + value.type_name());
  return kNoList;
}

std::string Fields::checked_text(const json& value, const std::string& path) {
  if (value.is_null()) return {};
  if (!value.is_string()) {
    problem(path, std::string("expected a string, got ") + value.type_name());
    return {};
  }
  const std::string text = value.get<std::string>();
  // Names, arguments and variables all end at a NUL once they reach the kernel.
  if (text.find('\0') != std::string::npos) problem(path, "a string must not contain a NUL");
  return text;
}

std::string Fields::text(const json& object, const char* key, const std::string& path) {
  return checked_text(member(object, key), path);
}

std::vector<std::string> Fields::texts(const json& object, const char* key, const std::string& path) {
  std::vector<std::string> out;
  for (const json& value : list(object, key, path))
    out.push_back(checked_text(value, path + "[" + std::to_string(out.size()) + "]"));
  return out;
}

std::map<std::string, std::string> Fields::text_map(const json& holder, const char* key,
                                                    const std::string& path) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : object(holder, key, path).items())
    out[name] = checked_text(value, path + "[" + name + "]");
  return out;
}

bool Fields::boolean(const json& object, const char* key, const std::string& path, bool otherwise) {
  const json& value = member(object, key);
  if (value.is_boolean()) return value.get<bool>();
  if (!value.is_null()) problem(path, std::string("expected true or false, got ") + value.type_name());
  return otherwise;
}

int Fields::integer(const json& object, const char* key, const std::string& path, int otherwise, int low,
                    int high) {
  const json& value = member(object, key);
  if (value.is_null()) return otherwise;
  if (!value.is_number_integer()) {
    problem(path, std::string("expected a whole number, got ") +
                      (value.is_number() ? value.dump() : std::string(value.type_name())));
    return otherwise;
  }
  const bool beyond = value.is_number_unsigned()
                          ? value.get<uint64_t>() > static_cast<uint64_t>(std::max(high, 0))
                          : value.get<int64_t>() > high || value.get<int64_t>() < low;
  if (beyond || value.get<int64_t>() < low) {
    problem(path, "expected " + std::to_string(low) + " <= " + value.dump() + " <= " + std::to_string(high));
    return otherwise;
  }
  return value.get<int>();
}

}  // namespace kiln::serving
