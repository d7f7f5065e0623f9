#include "registry/store.h"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>

#include "base/error.h"
#include "base/fs.h"
#include "registry/store_blobs.h"

namespace kiln::registry {
namespace {

using nlohmann::json;
constexpr uint64_t kIndexLimit = 64u << 20;
constexpr int kIndexDepthLimit = 4;
constexpr auto kAbandonedAfter = std::chrono::hours(1);

}  // namespace

Store::Store(std::filesystem::path root)
    : root_(std::move(root)), files_(std::make_shared<detail::BlobFiles>(root_)) {
  make_dirs(root_ / "blobs" / "sha256");
  make_dirs(root_ / "uploads");
  // index.json first: a folder with `oci-layout` is a whole layout.
  FileLock lock(root_ / ".lock");
  if (!std::filesystem::exists(root_ / "index.json"))
    write_file_atomic(root_ / "index.json", R"({"schemaVersion":2,"mediaType":")" +
                                                std::string(media::kIndex) + R"(","manifests":[]})");
  if (!std::filesystem::exists(root_ / "oci-layout"))
    write_file_atomic(root_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  remove_abandoned_uploads();
}

Store::Store(Store&&) noexcept = default;
Store::~Store() = default;

std::vector<Descriptor> Store::entries() const {
  const std::string text = read_file(root_ / "index.json", kIndexLimit);
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || !document.contains("manifests") || !document["manifests"].is_array())
    throw Error(ErrorKind::Invalid, (root_ / "index.json").string() + " is not an image index",
                "the folder is not an OCI image layout, or the file was damaged");
  std::vector<Descriptor> out;
  for (const json& entry : document["manifests"]) out.push_back(parse_descriptor(entry));
  return out;
}

void Store::update(const std::function<bool(std::vector<Descriptor>&)>& change) {
  FileLock lock(root_ / ".lock");
  std::vector<Descriptor> all = entries();
  if (!change(all)) return;
  json manifests = json::array();
  for (const Descriptor& entry : all) manifests.push_back(to_json(entry));
  const json document{
      {"schemaVersion", 2}, {"mediaType", std::string(media::kIndex)}, {"manifests", std::move(manifests)}};
  write_file_atomic(root_ / "index.json", document.dump(-1, ' ', false, json::error_handler_t::replace));
}

namespace {

bool is_named(const Descriptor& entry, std::string_view name) {
  const auto it = entry.annotations.find(Store::kRefName);
  return it != entry.annotations.end() && it->second == name;
}

Descriptor without_name(Descriptor entry) {
  entry.annotations.erase(Store::kRefName);
  return entry;
}

}  // namespace

std::optional<Descriptor> Store::resolve(std::string_view name) const {
  for (Descriptor& entry : entries())
    if (is_named(entry, name)) return without_name(std::move(entry));
  return std::nullopt;
}

void Store::tag(std::string_view name, const Descriptor& descriptor) {
  Descriptor entry = descriptor;
  entry.annotations[kRefName] = name;
  update([&](std::vector<Descriptor>& all) {
    for (Descriptor& existing : all) {
      if (!is_named(existing, name)) continue;
      if (existing == entry) return false;
      existing = entry;
      return true;
    }
    all.push_back(entry);
    return true;
  });
}

bool Store::untag(std::string_view name) {
  bool found = false;
  update([&](std::vector<Descriptor>& all) {
    found = std::erase_if(all, [&](const Descriptor& entry) { return is_named(entry, name); }) > 0;
    return found;
  });
  return found;
}

std::vector<std::pair<std::string, Descriptor>> Store::list() const {
  std::vector<std::pair<std::string, Descriptor>> out;
  for (Descriptor& entry : entries()) {
    const auto it = entry.annotations.find(kRefName);
    if (it == entry.annotations.end()) continue;
    std::string name = it->second;
    out.emplace_back(std::move(name), without_name(std::move(entry)));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return out;
}

Image Store::load(const Descriptor& descriptor) const {
  Descriptor at = descriptor;
  for (int depth = 0; is_index(at.media_type); ++depth) {
    if (depth == kIndexDepthLimit)
      throw Error(ErrorKind::Invalid,
                  "the image index " + descriptor.digest.text() + " is nested too deeply");
    at = select_platform(read(at.digest), "linux", machine_architecture());
  }
  Manifest manifest = parse_manifest(read(at.digest));
  ImageConfig config = parse_config(read(manifest.config.digest));
  if (at.media_type.empty()) at.media_type = manifest.media_type;
  return {std::move(at), std::move(manifest), std::move(config)};
}

void Store::remove_abandoned_uploads() const {
  std::error_code ignored;
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const auto& entry : std::filesystem::directory_iterator(root_ / "uploads", ignored)) {
    const auto written = entry.last_write_time(ignored);
    if (ignored || now - written < kAbandonedAfter) continue;
    UniqueFd fd(::open(entry.path().c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(entry.path().c_str());
  }
}

}  // namespace kiln::registry
