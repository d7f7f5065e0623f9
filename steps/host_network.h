#pragma once

#include <string>
#include <vector>

#include "base/process.h"
#include "steps/sandbox.h"

namespace kiln::steps {

// How this machine reaches the network, for steps and buildpacks to reach it the same way: proxies, package
// registries, name resolution and the certificates it trusts. For the time of a run only: nothing of it may
// get into an image.
struct HostNetwork {
  std::vector<std::string>
      env;                    // "NAME=value", sorted; weaker than what a step says, stronger than its image
  std::vector<Mount> mounts;  // read-only files
};

// `environment` is the host's (current_environment()). In an image's root the CA bundle is mounted at
// kCaBundle; with the host's own root (`host_root`) nothing needs mounting and the host's path is named.
// Name resolution is the host's where there is a way out, /etc/hosts where the network is the host's, too.
// `folder` is one that lives as long as the sandbox: what has to be made for it (the extra certificates of
// ca_bundle.h) is kept there.
HostNetwork host_network(const Environment& environment, const std::filesystem::path& folder,
                         Network network = Network::Host, bool host_root = false);

// Finds out ahead of time, and remembers, what host_network() would take milliseconds for.
void prepare_host_network(const Environment& environment);

inline constexpr std::string_view kCaBundle = "/etc/ssl/certs/ca-certificates.crt";
inline constexpr std::string_view kExtraCertificates = "/etc/ssl/certs/kiln-extra.pem";

}  // namespace kiln::steps
