#include "registry/server/settings_table.h"

#include "base/error.h"
#include "base/text.h"

namespace kiln::registry {

SettingsTable::SettingsTable(const nlohmann::json& table, fs::path file, std::string name)
    : table_(table), file_(std::move(file)), name_(std::move(name)) {
  if (!table_.is_object()) throw Error(ErrorKind::Invalid, file_.string() + ": " + name_ + " is no table");
}

void SettingsTable::refuse(std::string_view key, const std::string& problem, const std::string& hint) const {
  throw Error(ErrorKind::Invalid, file_.string() + ", " + name_ + ": `" + std::string(key) + "` " + problem,
              hint);
}

const nlohmann::json* SettingsTable::find(std::string_view key) {
  known_.emplace(key);
  const auto it = table_.find(key);
  return it == table_.end() ? nullptr : &*it;
}

bool SettingsTable::has(std::string_view key) const {
  return table_.contains(key);
}

void SettingsTable::take(std::string_view key, bool& value) {
  const nlohmann::json* found = find(key);
  if (!found) return;
  if (!found->is_boolean()) refuse(key, "is neither true nor false");
  value = found->get<bool>();
}

void SettingsTable::take(std::string_view key, std::string& value) {
  const nlohmann::json* found = find(key);
  if (!found) return;
  if (!found->is_string()) refuse(key, "is no text");
  value = found->get<std::string>();
}

void SettingsTable::take(std::string_view key, std::vector<std::string>& value) {
  const nlohmann::json* found = find(key);
  if (!found) return;
  if (found->is_string()) {
    value = {found->get<std::string>()};
    return;
  }
  if (!found->is_array()) refuse(key, "is neither a text nor a list of texts");
  value.clear();
  for (const nlohmann::json& item : *found) {
    if (!item.is_string()) refuse(key, "holds something that is no text");
    value.push_back(item.get<std::string>());
  }
}

void SettingsTable::take(std::string_view key, uint64_t& value) {
  const nlohmann::json* found = find(key);
  if (!found) return;
  if (!found->is_number_integer() || found->get<int64_t>() < 0) refuse(key, "is no whole number");
  value = found->get<uint64_t>();
}

void SettingsTable::take_path(std::string_view key, fs::path& value) {
  std::string text;
  if (!has(key)) return;
  take(key, text);
  value = text.empty() ? fs::path() : file_.parent_path() / text;
}

void SettingsTable::take_tables(std::string_view key, const std::function<void(SettingsTable&)>& each) {
  const nlohmann::json* found = find(key);
  if (!found) return;
  const std::string name = "[[" + name_.substr(1, name_.size() - 2) + "." + std::string(key) + "]]";
  if (!found->is_array()) refuse(key, "is no list of tables", "each begins with a line " + name);
  for (const nlohmann::json& item : *found) {
    SettingsTable table(item, file_, name);
    each(table);
    table.finish();
  }
}

void SettingsTable::finish() const {
  for (const auto& [key, value] : table_.items()) {
    if (known_.contains(key)) continue;
    const std::vector<std::string> known(known_.begin(), known_.end());
    const auto near = nearest(key, known);
    refuse(key, "is not a setting",
           near ? "did you mean `" + *near + "`?" : "there are " + join(known, ", "));
  }
}

}  // namespace kiln::registry
