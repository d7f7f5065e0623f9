#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace kiln::builders {

// A buildpack or an image extension on disk: buildpack.toml / extension.toml and bin/.
struct Buildpack {
  std::string id;
  std::string version;
  std::string name;
  std::string homepage;
  std::string api;  // Buildpack API, "0.10"
  bool extension = false;
  bool clear_env = false;
  std::filesystem::path folder;

  std::string full_name() const { return id + "@" + version; }
  // As a folder name below /layers and /cnb/buildpacks: "/" becomes "_".
  std::string escaped_id() const;
};

struct GroupMember {
  const Buildpack* buildpack = nullptr;
  bool optional = false;
};
using Group = std::vector<GroupMember>;

// The buildpacks of a builder and the order in which groups of them are tried
// (Buildpack specification, "order.toml"). Owns what the groups point to; moves keep pointers valid.
struct BuildpackSet {
  std::vector<std::unique_ptr<Buildpack>> buildpacks;
  std::vector<Group> order;  // composites already expanded, duplicates within a group removed
  Group extensions;          // optional, in front of every group

  // Reads `<folder>/{buildpacks,extensions}/*/` and `<folder>/order.toml`. Throws Invalid, naming the file.
  static BuildpackSet load(const std::filesystem::path& folder);
  const Buildpack* find(const std::string& id, const std::string& version) const;
};

// Kiln's own buildpacks, unpacked from the binary into `cache` once per version of them.
std::filesystem::path own_buildpacks(const std::filesystem::path& cache);

}  // namespace kiln::builders
