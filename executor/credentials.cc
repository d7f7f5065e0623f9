#include "executor/credentials.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/http.h"
#include "base/text.h"

namespace kiln::executor {
namespace {

using nlohmann::json;

// Where ssh finds the keys: its own idea of a home folder is not $HOME.
constexpr std::string_view kSshFolder = "/tekton/creds/.ssh/";

// A quoted value of a git configuration.
std::string git_quoted(const std::string& text) {
  return "\"" + replace_all(replace_all(text, "\\", "\\\\"), "\"", "\\\"") + "\"";
}

class Credentials {
 public:
  void add(const dag::KeyValues& secret) {
    secret_ = &secret;
    if (secret.type == "kubernetes.io/dockerconfigjson") return add_docker_json();
    if (secret.type == "kubernetes.io/dockercfg") return add_docker_cfg();
    for (const auto& [annotation, target] : secret.metadata.annotations) {
      if (annotation.starts_with("tekton.dev/git-")) {
        check_target(target);
        if (secret.type == "kubernetes.io/basic-auth") add_git_basic(target);
        if (secret.type == "kubernetes.io/ssh-auth") add_git_ssh(target);
      } else if (annotation.starts_with("tekton.dev/docker-")) {
        check_target(target);
        if (secret.type == "kubernetes.io/basic-auth") add_docker_basic(target);
      }
    }
  }

  std::vector<VolumeFile> take() {
    std::vector<VolumeFile> out;
    const auto put = [&](const char* path, std::string content) {
      if (!content.empty()) out.push_back({path, std::move(content), 0600});
    };
    if (!auths_.empty()) put(".docker/config.json", json{{"auths", auths_}}.dump());
    put(".git-credentials", git_hosts_ + git_repositories_);
    if (!git_config_.empty()) put(".gitconfig", "[credential]\n\thelper = store\n" + git_config_);
    std::string ssh_config;
    for (const auto& [host, lines] : hosts_) {
      ssh_config += "Host " + host + "\n    HostName " + host + "\n" + lines.port;
      for (const std::string& key : lines.keys)
        ssh_config += "    IdentityFile " + std::string(kSshFolder) + key + "\n";
      if (!lines.known) ssh_config += "    StrictHostKeyChecking accept-new\n";
    }
    put(".ssh/config", ssh_config);
    for (const auto& [name, key] : keys_) put((".ssh/" + name).c_str(), key);
    put(".ssh/known_hosts", known_hosts_);
    return out;
  }

 private:
  struct Host {
    std::string port;
    std::vector<std::string> keys;
    bool known = false;
  };

  [[noreturn]] void refuse(const std::string& problem) const {
    throw Error(ErrorKind::Invalid,
                "Secret \"" + secret_->metadata.name.value + "\" of type " + secret_->type + " " + problem);
  }

  // A line break would start a line of its own in a configuration file.
  void check_target(const std::string& target) const {
    if (target.empty() ||
        std::ranges::any_of(target, [](char c) { return static_cast<unsigned char>(c) <= ' '; }))
      refuse("has an annotation tekton.dev/… that is no address");
  }

  const std::string& value(const std::string& key) const {
    const auto found = secret_->values.find(key);
    if (found == secret_->values.end()) refuse("has no key \"" + key + "\"");
    return found->second;
  }

  // Of a user name or password. `echo` leaves a line end behind every value in base64; none can be meant.
  std::string word(const std::string& key) const {
    std::string out = value(key);
    while (out.ends_with('\n') || out.ends_with('\r')) out.pop_back();
    if (out.find_first_of(std::string_view("\n\r\0", 3)) != std::string::npos)
      refuse("has a line break in \"" + key + "\"");
    return out;
  }

  void add_git_basic(const std::string& target) {
    const std::string url = target.find("://") == std::string::npos ? "https://" + target : target;
    const size_t host = url.find("://") + 3;
    const std::string user = word("username");
    const size_t path = url.find('/', host);
    const bool of_repository = path != std::string::npos && path + 1 < url.size();
    git_config_ += "[credential " + git_quoted(url) + "]\n\tusername = " + git_quoted(user) + "\n";
    if (of_repository) git_config_ += "\tuseHttpPath = true\n";
    // git takes the first line that fits: one of a whole host before those of its repositories, which fit
    // only where git asks with the path.
    (of_repository ? git_repositories_ : git_hosts_) += url.substr(0, host) + percent_encode(user) + ":" +
                                                        percent_encode(word("password")) + "@" +
                                                        url.substr(host) + "\n";
  }

  void add_git_ssh(const std::string& target) {
    const std::string key = "id_" + secret_->metadata.name.value;
    std::string& content = keys_[key];
    content = value("ssh-privatekey");
    if (!content.ends_with('\n')) content += '\n';  // ssh takes no key without it
    std::string host = target;
    std::string port;
    if (const size_t colon = target.rfind(':');
        colon != std::string::npos && target.find(':') == colon && colon + 1 < target.size()) {
      host = target.substr(0, colon);
      port = "    Port " + target.substr(colon + 1) + "\n";
    }
    Host& lines = hosts_[host];
    if (!port.empty()) lines.port = port;
    lines.keys.push_back(key);
    const auto known = secret_->values.find("known_hosts");
    if (known == secret_->values.end() || known->second.empty()) return;
    lines.known = true;
    if (known_hosts_.find(known->second) != std::string::npos) return;  // for another host of this Secret
    known_hosts_ += known->second;
    if (!known_hosts_.ends_with('\n')) known_hosts_ += '\n';
  }

  void add_docker_basic(const std::string& target) {
    const std::string user = word("username"), password = word("password");
    auths_[target] = {
        {"username", user}, {"password", password}, {"auth", base64_encode(user + ":" + password)}};
  }

  json parsed(const std::string& key) const {
    json document = json::parse(value(key), nullptr, false);
    if (!document.is_object()) refuse("holds no JSON object in \"" + key + "\"");
    return document;
  }

  // What was said first stays, so that an annotation wins by the order of the ServiceAccount's list.
  void add_auths(const json& auths) {
    if (!auths.is_object()) refuse("holds `auths` that are no JSON object");
    for (const auto& [registry, auth] : auths.items())
      if (!auths_.contains(registry)) auths_[registry] = auth;
  }
  void add_docker_json() { add_auths(parsed(".dockerconfigjson").value("auths", json::object())); }
  void add_docker_cfg() { add_auths(parsed(".dockercfg")); }

  const dag::KeyValues* secret_ = nullptr;
  std::string git_config_, git_hosts_, git_repositories_, known_hosts_;
  std::map<std::string, Host> hosts_;
  std::map<std::string, std::string> keys_;  // file below .ssh/ → private key
  json auths_ = json::object();
};

}  // namespace

std::vector<VolumeFile> credential_files(const dag::ServiceAccount& account, const PodFacts& facts,
                                         std::vector<std::string>& notes) {
  Credentials credentials;
  for (const dag::Text& name : account.secrets) {
    if (!facts.objects.secrets.contains(name))
      notes.push_back("Secret \"" + name.value + "\" of ServiceAccount \"" + facts.service_account +
                      "\" is not among the documents loaded: its credentials are missing");
    else
      credentials.add(find_object(facts, true, name));
  }
  return credentials.take();
}

}  // namespace kiln::executor
