#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"
#include "registry/reference.h"

namespace kiln::registry {

// Where an image is asked for.
struct RegistryPlace {
  Reference reference;
  bool insecure = false;  // certificates are not checked, and plain http will do
  bool mirror = false;
};

// containers-registries.conf(5), version 2: what podman, skopeo and buildah read, too. The user's file
// ($XDG_CONFIG_HOME/containers/registries.conf, or what $CONTAINERS_REGISTRIES_CONF names) or else the
// system's, then the files of both registries.conf.d folders by name, the user's last. A later file replaces
// what it names again. A value; reading is thread-safe.
class RegistriesConf {
 public:
  // Throws Invalid with the file and the key.
  static RegistriesConf load(const Environment& environment,
                             const std::filesystem::path& system = "/etc/containers");
  // One file's text; `file` is what errors call it.
  void add(std::string_view toml, std::string_view file);

  // What a name without a registry stands for: by [aliases]; else the registry of a
  // unqualified-search-registries with one entry; else what it always does, Docker Hub. Others stay.
  Reference full_name(const Reference& reference) const;
  // The places of a full name in the order to try: mirrors first. A blocked one throws
  // Infrastructure.
  std::vector<RegistryPlace> to_pull(const Reference& reference) const;
  RegistryPlace to_push(const Reference& reference) const;

 private:
  enum class Pulls { All, ByDigest, ByTag };
  struct Mirror {
    std::string location;
    bool insecure = false;
    Pulls pulls = Pulls::All;
  };
  struct Registry {
    std::string location, file;
    bool insecure = false, blocked = false;
    std::vector<Mirror> mirrors;
  };
  struct Found {
    const Registry& registry;
    size_t length;  // of the name's part that the prefix stands for
  };
  std::optional<Found> find(const std::string& name) const;

  std::map<std::string, Registry> registries_;  // by prefix
  std::map<std::string, std::string> aliases_;
  std::vector<std::string> search_;
};

}  // namespace kiln::registry
