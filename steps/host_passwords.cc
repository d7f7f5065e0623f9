#include "steps/host_passwords.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/text.h"
#include "registry/client/credentials.h"

namespace kiln::steps {
namespace {

using nlohmann::json;

constexpr uint64_t kLargestFile = 1u << 20;

void add_passwords(const json& node, std::vector<std::string>& out) {
  if (!node.is_structured()) return;
  for (const auto& [key, value] : node.items()) {
    const bool is_password =
        key == "password" || key == "auth" || key == "identitytoken" || key == "registrytoken";
    if (!is_password || !value.is_string()) {
      add_passwords(value, out);
      continue;
    }
    out.push_back(value.get<std::string>());
    if (key != "auth") continue;
    const std::string pair = base64_decode(out.back()).value_or("");
    if (const size_t colon = pair.find(':'); colon != std::string::npos)
      out.push_back(pair.substr(colon + 1));
  }
}

std::string content_of(const fs::path& file) {
  try {
    return read_file(file, kLargestFile);
  } catch (const Error&) {
    return {};
  }
}

// git-credential-store(1): a URL a line, user and password percent-encoded.
void add_git_passwords(std::string_view lines, std::vector<std::string>& out) {
  for (const std::string& line : split(lines, '\n')) {
    const size_t scheme = line.find("://"), at = line.rfind('@');
    if (scheme == std::string::npos || at == std::string::npos) continue;
    const size_t colon = line.find(':', scheme + 3);
    if (colon < at) out.push_back(percent_decode(line.substr(colon + 1, at - colon - 1)));
  }
}

fs::path folder_of(const Environment& environment, const char* variable, const fs::path& otherwise) {
  const auto found = environment.find(variable);
  return found == environment.end() || found->second.empty() ? otherwise : fs::path(found->second);
}

}  // namespace

std::vector<std::string> passwords_in(std::string_view registry_configuration) {
  std::vector<std::string> out;
  add_passwords(json::parse(registry_configuration, nullptr, /*allow_exceptions=*/false), out);
  return out;
}

std::vector<std::string> host_passwords(const Environment& environment) {
  std::vector<std::string> out;
  const registry::CredentialFiles registries(environment);
  for (const fs::path& file : registries.files())
    for (std::string& one : passwords_in(content_of(file))) out.push_back(std::move(one));
  const fs::path home = folder_of(environment, "HOME", {});
  if (home.empty()) return out;
  add_git_passwords(content_of(home / ".git-credentials"), out);
  add_git_passwords(
      content_of(folder_of(environment, "XDG_CONFIG_HOME", home / ".config") / "git/credentials"), out);
  return out;
}

}  // namespace kiln::steps
