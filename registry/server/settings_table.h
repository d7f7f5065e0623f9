#pragma once

#include <concepts>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"

// Inside of registry/server/registry_settings.cc and of what adds to it.
namespace kiln::registry {

// One table of settings, key by key: take…() sets its variable when the key is there and throws Invalid,
// naming file, table and key, when the value has another type; finish() refuses what nobody took.
class SettingsTable {
 public:
  // `name` is what errors call it: "[registry]". The JSON must outlive it.
  SettingsTable(const nlohmann::json& table, fs::path file, std::string name);

  void take(std::string_view key, bool& value);
  void take(std::string_view key, std::string& value);
  void take(std::string_view key, std::vector<std::string>& value);  // one text, or a list of texts
  void take(std::string_view key, uint64_t& value);                  // not negative
  void take_path(std::string_view key, fs::path& value);  // a relative one begins at the file's folder
  // An array of tables ([[registry.key]]).
  void take_tables(std::string_view key, const std::function<void(SettingsTable&)>& each);

  bool has(std::string_view key) const;
  [[noreturn]] void refuse(std::string_view key, const std::string& problem,
                           const std::string& hint = {}) const;
  void finish() const;

 private:
  const nlohmann::json* find(std::string_view key);

  const nlohmann::json& table_;
  const fs::path file_;
  const std::string name_;
  std::set<std::string> known_;
};

}  // namespace kiln::registry
