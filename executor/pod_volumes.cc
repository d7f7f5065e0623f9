#include "executor/pod_volumes.h"

#include <map>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"

namespace kiln::executor {
namespace {

using Kind = dag::VolumeSource::Kind;
using Files = std::map<fs::path, VolumeFile>;

constexpr int64_t kDefaultMode = 0644;

unsigned checked_mode(std::optional<int64_t> own, std::optional<int64_t> volume) {
  const int64_t mode = own.value_or(volume.value_or(kDefaultMode));
  if (mode < 0 || mode > 0777)
    throw Error(ErrorKind::Invalid, "the file mode " + std::to_string(mode) + " is not between 0 and 0777",
                "YAML reads 0644 as octal and 644 as decimal");
  return static_cast<unsigned>(mode);
}

fs::path checked_path(const std::string& text) {
  const fs::path path = fs::path(text).lexically_normal();
  bool climbs = path.empty() || path == "." || path.is_absolute() || !path.has_filename();
  for (const fs::path& part : path) climbs = climbs || part == "..";
  if (climbs || text.find('\0') != std::string::npos)
    throw Error(ErrorKind::Invalid, "the path \"" + text + "\" of a volume's file leaves its volume",
                "a path is relative and stays below the mount");
  return path;
}

class Projection {
 public:
  Projection(const PodFacts& facts, std::optional<int64_t> mode, std::vector<std::string>& notes)
      : facts_(facts), mode_(mode), notes_(notes) {}

  void add(const dag::VolumeSource& source) {
    switch (source.kind) {
      case Kind::ConfigMap:
      case Kind::Secret:
        return add_object(source);
      case Kind::DownwardApi:
        for (const dag::KeyToPath& item : source.items) put(item.path, downward(item), item.mode);
        return;
      case Kind::Projected:
        for (const dag::VolumeSource& inner : source.sources) add(inner);
        return;
      case Kind::ServiceAccountToken:
        notes_.push_back("the service account token \"" +
                         (source.name.empty() ? "token" : source.name.value) +
                         "\" is not there: no cluster would take it");
        return;
      default:
        throw Error(ErrorKind::Invalid, "a projected volume has a source that only a cluster can give");
    }
  }

  std::vector<VolumeFile> take() {
    std::vector<VolumeFile> out;
    for (auto& [path, file] : files_) {
      for (fs::path above = path.parent_path(); !above.empty(); above = above.parent_path())
        if (files_.contains(above))
          throw Error(ErrorKind::Invalid, "\"" + above.string() + "\" cannot be a file and the folder of \"" +
                                              path.string() + "\" in one volume");
      out.push_back(file);
    }
    return out;
  }

 private:
  void put(const std::string& path, std::string content, std::optional<int64_t> mode) {
    const fs::path checked = checked_path(path);
    files_[checked] = {checked, std::move(content), checked_mode(mode, mode_)};
  }

  void add_object(const dag::VolumeSource& source) {
    const bool secret = source.kind == Kind::Secret;
    const auto& objects = secret ? facts_.objects.secrets : facts_.objects.config_maps;
    if (source.optional && !objects.contains(source.name)) return;
    const dag::KeyValues& object = find_object(facts_, secret, source.name);
    if (source.items.empty())
      for (const auto& [key, value] : object.values) {
        if (key.find('/') != std::string::npos)
          throw Error(ErrorKind::Invalid,
                      "the key \"" + key + "\" of " + source.name.value + " is no file name",
                      "give it a place with `items`");
        put(key, value, {});
      }
    for (const dag::KeyToPath& item : source.items) {
      const auto value = object.values.find(item.key);
      if (value != object.values.end())
        put(item.path, value->second, item.mode);
      else if (!source.optional)
        throw Error(ErrorKind::Invalid, std::string(secret ? "Secret \"" : "ConfigMap \"") +
                                            source.name.value + "\" has no key \"" + item.key.value + "\"");
    }
  }

  std::string downward(const dag::KeyToPath& item) const {
    return item.resource
               ? container_resource(facts_, item.container, nullptr, item.key.value, item.divisor.value)
               : pod_field(facts_, item.key.value);
  }

  const PodFacts& facts_;
  const std::optional<int64_t> mode_;
  std::vector<std::string>& notes_;
  Files files_;
};

}  // namespace

bool is_made_of_files(const dag::VolumeSource& source) {
  return source.kind == Kind::ConfigMap || source.kind == Kind::Secret || source.kind == Kind::Projected ||
         source.kind == Kind::DownwardApi;
}

std::vector<VolumeFile> volume_files(const dag::VolumeSource& source, const PodFacts& facts,
                                     std::vector<std::string>& notes) {
  Projection projection(facts, source.default_mode, notes);
  projection.add(source);
  return projection.take();
}

void write_volume(const VolumeContent& volume, std::optional<uint32_t> group) {
  const bool give = group && ::geteuid() == 0;
  const auto open_up = [&](const fs::path& path, unsigned mode, unsigned of_group) {
    if (give && ::lchown(path.c_str(), static_cast<uid_t>(-1), *group) != 0)
      throw_errno("cannot hand over " + path.string());
    if (::chmod(path.c_str(), give ? mode | of_group : mode) != 0)
      throw_errno("cannot set the mode of " + path.string());
  };
  make_dirs(volume.folder, 0700);
  open_up(volume.folder, 0755, 0050);
  for (const VolumeFile& file : volume.files) {
    fs::path folder = volume.folder;
    for (const fs::path& part : file.path.parent_path()) {
      folder /= part;
      make_dirs(folder, 0700);
      open_up(folder, 0755, 0050);
    }
    write_file(volume.folder / file.path, file.content, 0600);
    open_up(volume.folder / file.path, file.mode, 0040);
  }
}

}  // namespace kiln::executor
