#include "registry/client/credentials.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "registry/client/containers_folder.h"
#include "registry/client/credential_helper.h"

namespace kiln::registry {
namespace {

using nlohmann::json;
constexpr std::string_view kDockerHubKey = "https://index.docker.io/v1/";

// "https://Host/v1/" → "host": old tools wrote URLs.
std::string normal_key(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"})
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  for (const std::string_view tail : {"/v1/", "/v2/", "/v1", "/v2", "/"})
    if (key.ends_with(tail)) {
      key.remove_suffix(tail.size());
      break;
    }
  const std::string normal(key);
  return normal == "index.docker.io" || normal == "registry-1.docker.io" ? "docker.io" : normal;
}

std::string text_of(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

std::optional<json> read_config(const fs::path& file) {
  std::string text;
  try {
    text = read_file(file, 8u << 20);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::NotFound) return std::nullopt;
    throw;
  }
  if (trim(text).empty()) return json::object();
  json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object())
    throw Error(ErrorKind::Invalid, file.string() + " is not a JSON object", "repair the file or remove it");
  return document;
}

Credentials of_entry(const json& entry, const fs::path& file) {
  Credentials out;
  if (!entry.is_object()) return out;
  out.identity_token = text_of(entry, "identitytoken");
  out.registry_token = text_of(entry, "registrytoken");
  out.username = text_of(entry, "username");
  out.password = text_of(entry, "password");
  if (const std::string encoded = text_of(entry, "auth"); !encoded.empty()) {
    const auto decoded = base64_decode(encoded);
    const size_t colon = decoded ? decoded->find(':') : std::string::npos;
    if (colon == std::string::npos)
      throw Error(ErrorKind::Invalid, "an `auth` in " + file.string() + " is not base64 of user:password",
                  "log in again with `kiln login`");
    out.username = decoded->substr(0, colon);
    out.password = decoded->substr(colon + 1);
    while (!out.password.empty() && out.password.back() == '\0') out.password.pop_back();
  }
  return out;
}

// How helpers and Docker's file know a host.
std::string docker_key(const std::string& key) {
  return key == "docker.io" ? std::string(kDockerHubKey) : key;
}

// credHelpers' word about the host: a helper's name, or "" for none of them.
std::optional<std::string> host_helper(const json& config, const std::string& host) {
  if (const auto helpers = config.find("credHelpers"); helpers != config.end() && helpers->is_object())
    for (const auto& [key, helper] : helpers->items())
      if (normal_key(key) == host && helper.is_string()) return helper.get<std::string>();
  return std::nullopt;
}

// Who keeps the credentials of a host; "" is the file itself. A part of a host is always kept there.
std::string helper_for(const json& config, const std::string& key) {
  if (key.find('/') != std::string::npos) return {};
  return host_helper(config, key).value_or(text_of(config, "credsStore"));
}

// What `auths` has for exactly this key.
bool erase_entries(json& config, const std::string& key) {
  const auto auths = config.find("auths");
  if (auths == config.end() || !auths->is_object()) return false;
  const json before = *auths;
  for (const auto& [name, entry] : before.items())
    if (normal_key(name) == key) auths->erase(name);
  return *auths != before;
}

Credentials find_in(const json& config, const fs::path& file, const std::string& host,
                    std::string_view repository, const Environment& environment) {
  const auto helper = host_helper(config, host);
  if (helper && !helper->empty())
    if (Credentials found = detail::CredentialHelper(*helper, environment).get(docker_key(host));
        !found.empty())
      return found;
  if (const auto auths = config.find("auths"); auths != config.end() && auths->is_object()) {
    std::string wanted = host + "/" + std::string(repository);
    for (;;) {
      for (const auto& [key, entry] : auths->items())
        if (normal_key(key) == wanted)
          if (Credentials found = of_entry(entry, file); !found.empty()) return found;
      const size_t slash = wanted.rfind('/');
      if (slash == std::string::npos) break;
      wanted.resize(slash);
    }
  }
  if (const std::string store = text_of(config, "credsStore"); !store.empty() && helper != "")
    return detail::CredentialHelper(store, environment).get(docker_key(host));
  return {};
}

// For who reads it, changes it and writes it: two who do so at once would lose the words of one. The file
// itself is replaced each time, so its folder is locked.
FileLock lock_of(const fs::path& file) {
  return FileLock(fs::absolute(file).parent_path());
}

fs::path from(const Environment& environment, const char* variable) {
  const auto it = environment.find(variable);
  return it == environment.end() ? fs::path{} : fs::path(it->second);
}

}  // namespace

CredentialFiles::CredentialFiles(Environment environment) : environment_(std::move(environment)) {
  const fs::path home = from(environment_, "HOME");
  if (const fs::path file = from(environment_, "REGISTRY_AUTH_FILE"); !file.empty()) {
    files_.push_back(file);
  } else {
    if (const fs::path runtime = from(environment_, "XDG_RUNTIME_DIR"); !runtime.empty())
      files_.push_back(runtime / "containers/auth.json");
    if (const fs::path folder = user_containers_folder(environment_); !folder.empty())
      files_.push_back(folder / "auth.json");
  }
  fs::path docker = from(environment_, "DOCKER_CONFIG");
  if (docker.empty() && !home.empty()) docker = home / ".docker";
  if (!docker.empty()) files_.push_back(docker / "config.json");
}

Credentials CredentialFiles::find(std::string_view host, std::string_view repository) const {
  const std::string wanted = normal_key(host);
  for (const std::string& document : documents_) {
    const json config = json::parse(document, nullptr, /*allow_exceptions=*/false);
    if (!config.is_object() || !config.contains("auths")) continue;
    // Their `auths` alone: a program to ask is for the user to name.
    const json auths{{"auths", config["auths"]}};
    if (Credentials found = find_in(auths, "a Secret", wanted, repository, environment_); !found.empty())
      return found;
  }
  for (const fs::path& file : files_)
    if (const auto config = read_config(file))
      if (Credentials found = find_in(*config, file, wanted, repository, environment_); !found.empty())
        return found;
  return {};
}

CredentialFiles CredentialFiles::after(std::vector<std::string> documents) const {
  CredentialFiles out = *this;
  out.documents_ = std::move(documents);
  return out;
}

void CredentialFiles::save(std::string_view given, const Credentials& credentials) const {
  if (files_.empty())
    throw Error(ErrorKind::Usage, "there is no place for credentials: HOME is not set",
                "set HOME or DOCKER_CONFIG");
  // A file that somebody named is meant, be it there or not.
  const bool named = !from(environment_, "REGISTRY_AUTH_FILE").empty();
  const auto there = std::ranges::find_if(files_, [](const fs::path& file) { return fs::exists(file); });
  const fs::path file = named ? files_.front() : there == files_.end() ? files_.back() : *there;
  make_dirs(fs::absolute(file).parent_path(), 0700);
  const FileLock lock = lock_of(file);
  json config = read_config(file).value_or(json::object());
  const json before = config;
  const std::string key = normal_key(given);
  erase_entries(config, key);
  if (const std::string helper = helper_for(config, key); !helper.empty()) {
    detail::CredentialHelper(helper, environment_).store(docker_key(key), credentials);
    if (config != before) write_file_atomic(file, config.dump(2) + "\n", 0600);
    return;
  }
  json entry{{"auth", base64_encode(credentials.username + ":" + credentials.password)}};
  if (!credentials.identity_token.empty()) entry["identitytoken"] = credentials.identity_token;
  config["auths"][docker_key(key)] = std::move(entry);
  write_file_atomic(file, config.dump(2) + "\n", 0600);
}

bool CredentialFiles::erase(std::string_view given) const {
  const std::string key = normal_key(given);
  bool found = false;
  for (const fs::path& file : files_) {
    if (!fs::exists(file)) continue;
    const FileLock lock = lock_of(file);
    auto config = read_config(file);
    if (!config) continue;
    if (const std::string helper = helper_for(*config, key); !helper.empty())
      found |= detail::CredentialHelper(helper, environment_).erase(docker_key(key));
    if (!erase_entries(*config, key)) continue;
    found = true;
    write_file_atomic(file, config->dump(2) + "\n", 0600);
  }
  return found;
}

}  // namespace kiln::registry
