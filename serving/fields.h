#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::serving {

// JSON text → value. Throws Invalid for what is not JSON and for what is nested deeper than any API object:
// values are copied, compared and written recursively.
nlohmann::json parse_json(std::string_view text);

// Typed reading of a document that a stranger wrote: a member that is absent (or null) gives the default, one
// of the wrong type too, and a problem with its path. Problems are collected, so that all are shown at once.
class Fields {
 public:
  void problem(const std::string& path, const std::string& what);
  bool good() const { return problems_.empty(); }
  // Throws Invalid with `title` and every problem, one per line, unless there are none.
  void finish(const std::string& title) const;

  // Names what is not among `known`, with the nearest of them.
  void known(const nlohmann::json& object, const std::string& path, std::initializer_list<const char*> known);

  // Members of `object` (which is `path`).
  const nlohmann::json& object(const nlohmann::json& object, const char* key, const std::string& path);
  const nlohmann::json& list(const nlohmann::json& object, const char* key, const std::string& path);
  std::string text(const nlohmann::json& object, const char* key, const std::string& path);
  std::vector<std::string> texts(const nlohmann::json& object, const char* key, const std::string& path);
  std::map<std::string, std::string> text_map(const nlohmann::json& object, const char* key,
                                              const std::string& path);
  bool boolean(const nlohmann::json& object, const char* key, const std::string& path, bool otherwise);
  // A whole number from `low` to `high`.
  int integer(const nlohmann::json& object, const char* key, const std::string& path, int otherwise, int low,
              int high);

 private:
  std::string checked_text(const nlohmann::json& value, const std::string& path);

  std::string problems_;
  int count_ = 0;
};

// The member, or null when it is absent or `object` is none.
const nlohmann::json& member(const nlohmann::json& object, const char* key);

}  // namespace kiln::serving
