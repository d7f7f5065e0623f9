#include "registry/client/registries_conf.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/toml.h"
#include "registry/client/containers_folder.h"

namespace kiln::registry {
namespace {

using nlohmann::json;

// One file's values, with errors that say which key of which file.
struct File {
  std::string_view name;

  [[noreturn]] void refuse(const std::string& key, const std::string& problem) const {
    throw Error(ErrorKind::Invalid, std::string(name) + ", " + key + ": " + problem,
                "see containers-registries.conf(5)");
  }
  std::string text(const json& table, const std::string& of, const char* key) const {
    const auto it = table.find(key);
    if (it == table.end()) return {};
    if (!it->is_string()) refuse(of + key, "it is no text");
    return it->get<std::string>();
  }
  bool flag(const json& table, const std::string& of, const char* key) const {
    const auto it = table.find(key);
    if (it == table.end()) return false;
    if (!it->is_boolean()) refuse(of + key, "it is neither true nor false");
    return it->get<bool>();
  }
  // A list of tables or texts.
  const json& list(const json& table, const std::string& of, const char* key) const {
    static const json none = json::array();
    const auto it = table.find(key);
    if (it == table.end()) return none;
    if (!it->is_array()) refuse(of + key, "it is no list");
    return *it;
  }
  // "host", "host/path", as names of images begin.
  std::string place(const json& table, const std::string& of, const char* key) const {
    std::string value = text(table, of, key);
    while (value.ends_with('/')) value.pop_back();
    const std::string plain = value.starts_with("*.") ? value.substr(2) : value;
    auto reference = Reference::try_parse(plain + "/x");
    if (!reference) reference = Reference::try_parse(plain);  // with a tag or digest
    if (!value.empty() && (value.find("://") != std::string::npos || !reference || reference->is_local()))
      refuse(of + key, "\"" + value + "\" is not HOST[:PORT][/PATH]");
    return value;
  }
};

// How much of the name the prefix stands for; 0: nothing.
size_t matched(std::string_view prefix, std::string_view name) {
  // A colon after a host begins its port.
  const bool whole = prefix.find('/') != std::string_view::npos;
  const auto ends_there = [&](size_t at) {
    return at == name.size() || name[at] == '/' || (whole && (name[at] == ':' || name[at] == '@'));
  };
  if (prefix.starts_with("*.")) {
    const size_t host = std::min(name.find('/'), name.size());
    const std::string_view rest = prefix.substr(1);  // ".example.com", ".example.com/path"
    const size_t rest_host = std::min(rest.find('/'), rest.size());
    if (host <= rest_host || !name.substr(0, host).ends_with(rest.substr(0, rest_host))) return 0;
    const size_t from = host - rest_host;
    return name.substr(from).starts_with(rest) && ends_there(from + rest.size()) ? from + rest.size() : 0;
  }
  return name.starts_with(prefix) && ends_there(prefix.size()) ? prefix.size() : 0;
}

Reference at(const std::string& location, const Reference& reference, size_t length) {
  if (location.empty()) return reference;
  const std::string whole = location + reference.text().substr(length);
  const auto moved = Reference::try_parse(whole);
  if (!moved || moved->is_local())
    throw Error(ErrorKind::Invalid,
                "registries.conf leads from " + reference.text() + " to \"" + whole + "\", which is no image",
                "correct its `location`");
  return *moved;
}

bool is_short(const Reference& reference) {
  return reference.host == "docker.io" && !reference.familiar.starts_with("docker.io/") &&
         !reference.familiar.starts_with("index.docker.io/") &&
         !reference.familiar.starts_with("registry-1.docker.io/");
}

std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().extension() == ".conf") out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

}  // namespace

RegistriesConf RegistriesConf::load(const Environment& environment, const fs::path& system) {
  const fs::path user = user_containers_folder(environment);
  std::vector<fs::path> files;
  const auto named = environment.find("CONTAINERS_REGISTRIES_CONF");
  if (named != environment.end() && !named->second.empty())
    files.emplace_back(named->second);
  else if (!user.empty() && fs::exists(user / "registries.conf"))
    files.push_back(user / "registries.conf");
  else if (fs::exists(system / "registries.conf"))
    files.push_back(system / "registries.conf");
  for (const fs::path& folder : {system, user})
    if (!folder.empty()) std::ranges::copy(files_of(folder / "registries.conf.d"), std::back_inserter(files));

  RegistriesConf out;
  for (const fs::path& file : files) out.add(read_file(file, 1u << 20), file.string());
  return out;
}

void RegistriesConf::add(std::string_view toml, std::string_view name) {
  const json document = parse_toml(toml, name);
  const File file{name};
  if (document.contains("registries"))
    file.refuse("[registries]", "that is version 1 of the format, which podman no longer reads, either");
  for (const json& host : file.list(document, "", "unqualified-search-registries"))
    if (!host.is_string())
      file.refuse("unqualified-search-registries", "it holds something other than texts");
  if (document.contains("unqualified-search-registries"))
    search_ = document["unqualified-search-registries"].get<std::vector<std::string>>();
  if (const auto aliases = document.find("aliases"); aliases != document.end()) {
    if (!aliases->is_object()) file.refuse("[aliases]", "it is no table");
    for (const auto& [alias, target] : aliases->items()) {
      const std::string value = file.text(*aliases, "aliases.", alias.c_str());
      if (!value.empty() && !Reference::try_parse(value))
        file.refuse("aliases." + alias, "\"" + value + "\" is no image");
      aliases_[alias] = value;
    }
  }
  for (const json& table : file.list(document, "", "registry")) {
    if (!table.is_object()) file.refuse("[[registry]]", "it is no table");
    const std::string of = "[[registry]] ";
    Registry registry{file.place(table, of, "location"),
                      std::string(name),
                      file.flag(table, of, "insecure"),
                      file.flag(table, of, "blocked"),
                      {}};
    std::string prefix = file.place(table, of, "prefix");
    if (prefix.empty()) prefix = registry.location;
    if (prefix.empty()) file.refuse("[[registry]]", "it has neither `prefix` nor `location`");
    if (registry.location.starts_with("*.")) file.refuse(of + "location", "only a prefix may begin with *.");
    const bool by_digest = file.flag(table, of, "mirror-by-digest-only");
    for (const json& given : file.list(table, of, "mirror")) {
      const std::string within = "[[registry.mirror]] ";
      if (!given.is_object()) file.refuse(within, "it is no table");
      Mirror mirror{file.place(given, within, "location"), file.flag(given, within, "insecure"), Pulls::All};
      if (mirror.location.empty()) file.refuse(within + "location", "there is none");
      const std::string pulls = file.text(given, within, "pull-from-mirror");
      if (pulls == "digest-only" || (pulls.empty() && by_digest))
        mirror.pulls = Pulls::ByDigest;
      else if (pulls == "tag-only")
        mirror.pulls = Pulls::ByTag;
      else if (!pulls.empty() && pulls != "all")
        file.refuse(within + "pull-from-mirror",
                    "\"" + pulls + "\" is none of all, digest-only and tag-only");
      if (!pulls.empty() && by_digest)
        file.refuse(within + "pull-from-mirror", "it cannot be said beside mirror-by-digest-only");
      registry.mirrors.push_back(std::move(mirror));
    }
    registries_.insert_or_assign(prefix, std::move(registry));
  }
}

Reference RegistriesConf::full_name(const Reference& reference) const {
  if (!is_short(reference)) return reference;
  std::string name = reference.familiar;
  const std::string rest = (reference.tag.empty() ? "" : ":" + reference.tag) +
                           (reference.digest ? "@" + reference.digest->text() : "");
  name.resize(name.size() - rest.size());
  std::string place;
  if (const auto alias = aliases_.find(name); alias != aliases_.end() && !alias->second.empty())
    place = alias->second;
  else if (search_.size() == 1)
    place = search_[0] == "docker.io" ? name : search_[0] + "/" + name;
  if (place.empty()) return reference;
  Reference full = Reference::parse(place + rest);
  full.familiar = reference.familiar;
  return full;
}

std::optional<RegistriesConf::Found> RegistriesConf::find(const std::string& name) const {
  const Registry* best = nullptr;
  size_t longest = 0, length = 0;
  for (const auto& [prefix, registry] : registries_) {
    const size_t fits = matched(prefix, name);
    if (fits == 0 || prefix.size() <= longest) continue;
    best = &registry;
    longest = prefix.size();
    length = fits;
  }
  if (!best) return std::nullopt;
  return Found{*best, length};
}

RegistryPlace RegistriesConf::to_push(const Reference& reference) const {
  const auto found = find(reference.text());
  if (!found) return {reference};
  if (found->registry.blocked)
    throw Error(
        ErrorKind::Infrastructure,
        "registry " + reference.host + " is blocked for " + reference.text() + " by " + found->registry.file,
        "take an image from elsewhere, or change that file");
  return {at(found->registry.location, reference, found->length), found->registry.insecure};
}

std::vector<RegistryPlace> RegistriesConf::to_pull(const Reference& reference) const {
  RegistryPlace itself = to_push(reference);
  std::vector<RegistryPlace> out;
  if (const auto found = find(reference.text()))
    for (const Mirror& mirror : found->registry.mirrors) {
      if (mirror.pulls == (reference.digest ? Pulls::ByTag : Pulls::ByDigest)) continue;
      out.push_back({at(mirror.location, reference, found->length), mirror.insecure, true});
    }
  out.push_back(std::move(itself));
  return out;
}

}  // namespace kiln::registry
