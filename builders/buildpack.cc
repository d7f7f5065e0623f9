#include "builders/buildpack.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "base/toml.h"
#include "builders/documents.h"

extern "C" const unsigned char kiln_buildpack_bundle_begin[], kiln_buildpack_bundle_end[];

namespace kiln::builders {
namespace {

using nlohmann::json;

// Both become parts of paths (Buildpack specification, "buildpack.toml").
bool is_id(const std::string& id) {
  for (const char* reserved :
       {"", ".", "..", "app", "build", "config", "generated", "launch", "sbom", "store"})
    if (id == reserved) return false;
  return std::ranges::all_of(
      id, [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '/' || c == '-'; });
}

bool is_version(const std::string& version) {
  return !version.empty() && !version.starts_with('.') && std::ranges::all_of(version, [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '+';
  });
}

Buildpack read_descriptor(const fs::path& folder, bool extension) {
  const fs::path file = folder / (extension ? "extension.toml" : "buildpack.toml");
  const json document = parse_toml(read_file(file, 1 << 20), file.string());
  const char* section = extension ? "extension" : "buildpack";
  if (!document.contains(section) || !document[section].contains("id") ||
      !document[section].contains("version"))
    throw Error(ErrorKind::Invalid, file.string() + " needs [" + section + "] with id and version");
  const json& about = document[section];
  Buildpack buildpack;
  read_document(ErrorKind::Invalid, file.string(), [&] {
    buildpack.id = about.at("id").get<std::string>();
    buildpack.version = about.at("version").get<std::string>();
    buildpack.name = about.value("name", buildpack.id);
    buildpack.homepage = about.value("homepage", "");
    buildpack.clear_env = about.value("clear-env", false);
    buildpack.api = document.value("api", "");
  });
  if (!is_id(buildpack.id))
    throw Error(
        ErrorKind::Invalid, file.string() + ": \"" + buildpack.id + "\" is no buildpack id",
        "letters, digits, \".\", \"/\" and \"-\"; not app, build, config, generated, launch, sbom or store");
  if (!is_version(buildpack.version))
    throw Error(ErrorKind::Invalid, file.string() + ": \"" + buildpack.version + "\" is no version",
                "write X.Y.Z");
  buildpack.extension = extension;
  buildpack.folder = folder;
  return buildpack;
}

class Expander {
 public:
  explicit Expander(const BuildpackSet& set) : set_(set) {}

  // A composite buildpack has an [[order]] of its own: each of its groups takes the composite's place.
  std::vector<Group> expand(const json& order, const std::string& file) {
    std::vector<Group> groups;
    for (const json& entry : order) {
      std::vector<Group> partial{{}};
      for (const json& member : entry.value("group", json::array()))
        partial = combine(partial, alternatives(member, file));
      std::ranges::move(partial, std::back_inserter(groups));
    }
    return groups;
  }

 private:
  std::vector<Group> alternatives(const json& member, const std::string& file) {
    const std::string id = member.value("id", ""), version = member.value("version", "");
    const Buildpack* buildpack = set_.find(id, version);
    if (!buildpack)
      throw Error(ErrorKind::Invalid,
                  file + " names buildpack " + id + "@" + version + ", which is not there");
    const fs::path descriptor = buildpack->folder / "buildpack.toml";
    if (!buildpack->extension) {
      const json document = parse_toml(read_file(descriptor, 1 << 20), descriptor.string());
      if (document.contains("order")) {
        if (++depth_ > 16)
          throw Error(ErrorKind::Invalid, descriptor.string() + ": composites nest too deeply");
        std::vector<Group> groups = expand(document["order"], descriptor.string());
        --depth_;
        if (member.value("optional", false)) groups.emplace_back();  // the last resort: without it
        return groups;
      }
    }
    return {{GroupMember{buildpack, member.value("optional", false)}}};
  }

  static std::vector<Group> combine(const std::vector<Group>& heads, const std::vector<Group>& tails) {
    std::vector<Group> combined;
    for (const Group& head : heads)
      for (const Group& tail : tails) {
        Group group = head;
        for (const GroupMember& member : tail)
          if (std::ranges::none_of(
                  group, [&](const GroupMember& m) { return m.buildpack->id == member.buildpack->id; }))
            group.push_back(member);
        combined.push_back(std::move(group));
      }
    return combined;
  }

  const BuildpackSet& set_;
  int depth_ = 0;
};

}  // namespace

std::string Buildpack::escaped_id() const {
  return replace_all(id, "/", "_");
}

const Buildpack* BuildpackSet::find(const std::string& id, const std::string& version) const {
  for (const auto& buildpack : buildpacks)
    if (buildpack->id == id && (version.empty() || buildpack->version == version)) return buildpack.get();
  return nullptr;
}

BuildpackSet BuildpackSet::load(const fs::path& folder) {
  BuildpackSet set;
  for (const bool extension : {false, true}) {
    const fs::path parent = folder / (extension ? "extensions" : "buildpacks");
    if (!fs::is_directory(parent)) continue;
    std::vector<fs::path> folders;
    for (const auto& entry : fs::directory_iterator(parent))
      if (entry.is_directory()) folders.push_back(entry.path());
    std::ranges::sort(folders);
    for (const fs::path& path : folders)
      set.buildpacks.push_back(std::make_unique<Buildpack>(read_descriptor(path, extension)));
  }
  const fs::path file = folder / "order.toml";
  const json document = parse_toml(read_file(file, 1 << 20), file.string());
  read_document(ErrorKind::Invalid, file.string(), [&] {
    Expander expander(set);
    set.order = expander.expand(document.value("order", json::array()), file.string());
    for (Group& group : expander.expand(document.value("order-extensions", json::array()), file.string()))
      for (GroupMember& member : group) {
        member.optional = true;
        set.extensions.push_back(member);
      }
  });
  if (set.order.empty()) throw Error(ErrorKind::Invalid, file.string() + " has no [[order]]");
  return set;
}

fs::path own_buildpacks(const fs::path& cache) {
  const std::string_view bundle(reinterpret_cast<const char*>(kiln_buildpack_bundle_begin),
                                kiln_buildpack_bundle_end - kiln_buildpack_bundle_begin);
  static const std::string key = sha256(bundle).short_text();
  const fs::path folder = cache / "buildpacks" / key;
  if (fs::exists(folder / "order.toml")) return folder;
  make_dirs(folder.parent_path());
  TempDir fresh(folder.parent_path());
  const Finished unpacked = run({.argv = {"tar", "-x", "--no-same-owner", "-C", fresh.path().string()},
                                 .environment = {},
                                 .directory = {},
                                 .input = std::string(bundle)});
  if (!unpacked.ok())
    throw Error(ErrorKind::Infrastructure, "cannot unpack the buildpacks: " + unpacked.errors);
  fs::permissions(fresh.path(), fs::perms(0755));
  std::error_code error;
  fs::rename(fresh.path(), folder, error);  // another process may have won; its folder is the same
  if (!error) fresh.release();
  return folder;
}

}  // namespace kiln::builders
