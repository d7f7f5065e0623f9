#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/http_tls.h"
#include "base/process.h"

namespace kiln::registry {

// containers-certs.d(5): the certificates of one host, in the first folder HOST[:PORT] of
// $XDG_CONFIG_HOME/containers/certs.d, /etc/containers/certs.d and /etc/docker/certs.d that exists:
// *.crt are CAs trusted besides the system's, NAME.cert with NAME.key is the client's. Thread-safe; each host
// is looked for once.
class HostCertificates {
 public:
  explicit HostCertificates(const Environment& environment, const std::filesystem::path& system = "/etc");

  // Throws Invalid for a .cert without its .key, and the other way round.
  TlsOptions of(const std::string& authority);

 private:
  std::vector<std::filesystem::path> folders_;
  std::mutex mutex_;
  std::map<std::string, TlsOptions> known_;
};

}  // namespace kiln::registry
