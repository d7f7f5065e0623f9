#include "registry/server/registry_settings.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/http.h"
#include "registry/server/settings_table.h"

namespace kiln::registry {
namespace {

constexpr const char* kExample = "user = \"alice\", repositories = \"team/**\", allow = [\"pull\", \"push\"]";

AccessRule take_rule(SettingsTable& table) {
  AccessRule rule;
  table.take("user", rule.users);
  table.take("repositories", rule.repositories);
  std::vector<std::string> allowed;
  table.take("allow", allowed);
  for (const char* key : {"user", "repositories", "allow"})
    if (!table.has(key) &&
        (key != std::string_view("repositories") || allowed != std::vector<std::string>{"catalog"}))
      table.refuse(key, "is missing", std::string("a whole rule: ") + kExample);
  for (const std::string& action : allowed) {
    bool* const right = action == "pull"      ? &rule.pull
                        : action == "push"    ? &rule.push
                        : action == "delete"  ? &rule.remove
                        : action == "catalog" ? &rule.catalog
                                              : nullptr;
    if (!right)
      table.refuse("allow", "does not know \"" + action + "\"", "there are pull, push, delete, catalog");
    *right = true;
  }
  return rule;
}

}  // namespace

void RegistrySettings::apply(const nlohmann::json& json, const fs::path& file) {
  SettingsTable table(json, file, "[registry]");
  table.take("sparse", sparse);
  table.take("read-only", read_only);
  table.take("delete", allow_delete);
  table.take("own-images", own_images);
  table.take_path("htpasswd", htpasswd);
  table.take("realm", realm);
  if (!realm.empty() && (!Url::parse(realm) || realm.find('"') != std::string::npos))
    table.refuse("realm", "is no URL", "write it whole: realm = \"https://registry.example/v2/token\"");
  table.take("anonymous-pull", anonymous_pull);
  if (table.has("access")) access.clear();
  table.take_tables("access", [&](SettingsTable& rule) { access.push_back(take_rule(rule)); });
  policies.take(table);
  table.finish();
}

void RegistrySettings::check() const {
  const char* given = !access.empty() ? "access" : anonymous_pull ? "anonymous-pull" : nullptr;
  if (given && htpasswd.empty())
    throw Error(ErrorKind::Invalid,
                std::string("[registry]: `") + given + "` limits nothing without `htpasswd`",
                "name the file with the users: htpasswd = \"FILE\", made by `htpasswd -Bc FILE USER`");
}

}  // namespace kiln::registry
