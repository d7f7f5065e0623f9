#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"

namespace kiln::registry {

struct Credentials {
  std::string username, password;
  std::string identity_token;    // an OAuth refresh token; wins over the password
  std::string registry_token{};  // sent to the registry as it is, as Bearer
  bool empty() const { return username.empty() && identity_token.empty() && registry_token.empty(); }
};

// The credential files people already have, first hit wins: $REGISTRY_AUTH_FILE (or, without it,
// $XDG_RUNTIME_DIR/containers/auth.json, then $XDG_CONFIG_HOME/containers/auth.json), then Docker's
// config.json ($DOCKER_CONFIG or ~/.docker). Within a file credential helpers go before `auths`, and the most
// specific key before others (host/namespace/repository … host). Files are read anew at each question.
// Thread-safe.
class CredentialFiles {
 public:
  explicit CredentialFiles(Environment environment = current_environment());

  // Empty when there are none. Throws Invalid for a file that cannot be understood, Failed for a helper that
  // breaks.
  Credentials find(std::string_view host, std::string_view repository) const;

  // The same files, asked only when these documents, config.json as texts, have no answer.
  CredentialFiles after(std::vector<std::string> documents) const;

  // Writes into $REGISTRY_AUTH_FILE, else the first file of the list that exists, else Docker's; keeps all
  // else in it, and what another process of Kiln writes at the same time. Where that file names a credential
  // helper for the host, it is given them, and the file no password. For `kiln login` and `kiln logout`.
  // `key`: a host, or a part of it ("host/namespace", containers-auth.json(5)), which helpers do not know.
  // erase() forgets them in all files and their helpers, and says whether there was anything.
  void save(std::string_view key, const Credentials& credentials) const;
  bool erase(std::string_view key) const;

  const std::vector<std::filesystem::path>& files() const { return files_; }
  const Environment& environment() const { return environment_; }

 private:
  Environment environment_;
  std::vector<std::filesystem::path> files_;
  std::vector<std::string> documents_;  // asked first
};

}  // namespace kiln::registry
