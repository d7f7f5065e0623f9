#pragma once

#include <string>

#include "registry/client/credentials.h"

namespace kiln::registry::detail {

// One of docker's credential helpers, the program docker-credential-NAME
// (github.com/docker/docker-credential-helpers, README "Development"): secrets go by its stdin and stdout
// alone. All throw Failed for a helper that breaks, Invalid for a name that is none, Infrastructure when
// there is no such program.
class CredentialHelper {
 public:
  CredentialHelper(const std::string& name, Environment environment);

  Credentials get(const std::string& server) const;  // empty when it has none
  void store(const std::string& server, const Credentials& credentials) const;
  bool erase(const std::string& server) const;  // whether there was anything

 private:
  Finished call(const char* verb, const std::string& input) const;
  [[noreturn]] void fail(const Finished& finished, const char* verb, const std::string& server) const;

  std::string program_;
  Environment environment_;
};

}  // namespace kiln::registry::detail
