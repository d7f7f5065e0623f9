// Targets oci-archive: and docker-archive:. One format for both: an image layout, to which the second adds
// the manifest.json that `docker load` reads, as Docker writes it itself since its version 25.
#include <fcntl.h>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "registry/copy/copy.h"
#include "registry/copy/file_places.h"
#include "registry/layers/tar_writer.h"
#include "registry/reference.h"
#include "registry/store/store.h"

namespace kiln::registry::detail {
namespace {

using nlohmann::json;

std::string member_of(const Digest& digest) {
  return "blobs/" + std::string(digest.algorithm()) + "/" + std::string(digest.encoded());
}

// Whether its configuration names each of the layers: `docker load` goes by that.
bool is_container_image(const Manifest& manifest, ImageSource& source, const std::stop_token& stop) {
  if (manifest.config.media_type != media::kConfig && manifest.config.media_type != media::kDockerConfig)
    return false;
  try {
    return parse_config(read_config(source, manifest, stop)).diff_ids.size() == manifest.layers.size();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Invalid) throw;
    return false;
  }
}

class ArchiveTarget : public ImageTarget {
 public:
  ArchiveTarget(fs::path file, std::string name, bool docker)
      : file_(std::move(file)), name_(std::move(name)), docker_(docker) {
    check_what_is_there();
  }
  ~ArchiveTarget() override {
    if (!partial_.empty()) ::unlink(partial_.c_str());
  }

  void check(const FetchedManifest& image, ImageSource& source, const std::stop_token& stop) override {
    if (!docker_) return;
    if (is_index(image.descriptor.media_type))
      throw Error(ErrorKind::Usage, "a docker-archive holds the image of one platform only",
                  "leave out --all, or write an oci-archive:");
    const Manifest manifest = parse_manifest(image.bytes);
    for (const Descriptor& layer : manifest.layers)
      if (layer.media_type.ends_with("zstd"))
        throw Error(ErrorKind::Usage,
                    "layer " + layer.digest.short_text() +
                        " is compressed with zstd, which not every `docker load` reads",
                    "write an oci-archive:, which podman and Docker's containerd image store load");
    if (!is_container_image(manifest, source, stop))
      throw Error(ErrorKind::Usage, "this is no container image, and a docker-archive holds nothing else",
                  "write an oci-archive:");
  }

  bool is_current(const FetchedManifest& image) override {
    if (!there_) return false;
    try {
      auto source = layout_source(std::make_unique<TarTree>(file_), name_);
      if (docker_ && TarTree(file_).read("manifest.json", 4u << 20) != docker_manifest(image.bytes))
        return false;
      const FetchedManifest known = source->manifest({}, {});
      return known.descriptor.digest == image.descriptor.digest && is_whole(*source, known);
    } catch (const Error&) {  // something else, or broken: it is written anew
      return false;
    }
  }

  void expect(std::span<const Descriptor> blobs) override {
    for (const Descriptor& blob : blobs)
      if (!is_foreign(blob)) reserve(member_of(blob.digest), blob.size);
  }

  Put put_blob(const Descriptor& blob, ImageSource& source, const std::function<void(uint64_t)>& progress,
               std::stop_token stop) override {
    const std::string member = member_of(blob.digest);
    if (is_foreign(blob)) {  // there is no place for it before it is known to be there
      const FilePart part{unnamed_file(), 0, blob.size};
      FileSink first(part.fd.get(), 0, blob);
      try {
        source.read_blob(blob, first, progress, stop);
      } catch (const Error& error) {
        if (!docker_ || error.kind() != ErrorKind::NotFound) throw;
        throw Error(
            ErrorKind::Usage,
            "layer " + blob.digest.short_text() +
                " may not be distributed and is not there; a docker-archive without it cannot be loaded",
            "write an oci-archive:");
      }
      FileSink sink(fd_.get(), reserve(member, blob.size), blob);
      copy_part(part, sink);
    } else {
      FileSink sink(fd_.get(), reserve(member, blob.size), blob);
      source.read_blob(blob, sink, progress, std::move(stop));
    }
    return Put::Moved;
  }

  void put_manifest(const FetchedManifest& manifest, bool top, std::stop_token) override {
    add(member_of(manifest.descriptor.digest), manifest.bytes);
    if (!top) return;
    json entry = to_json(manifest.descriptor);
    if (!name_.empty()) entry["annotations"][Store::kRefName] = name_;
    if (docker_ && !name_.empty())  // for containerd
      entry["annotations"]["io.containerd.image.name"] = Reference::parse(name_).text();
    add("index.json",
        json{{"schemaVersion", 2}, {"mediaType", media::kIndex}, {"manifests", {std::move(entry)}}}.dump());
    if (docker_) add("manifest.json", docker_manifest(manifest.bytes));
    write_all_at(fd_.get(), std::string(1024, '\0'), static_cast<off_t>(end_), "cannot write the archive");
    if (::fsync(fd_.get()) != 0) throw_errno("cannot write " + partial_.string());
    fs::rename(partial_, file_);
    partial_.clear();
    fsync_dir(folder());
  }

 private:
  fs::path folder() const { return file_.has_parent_path() ? file_.parent_path() : fs::path("."); }

  // An archive is replaced only by an image of the name that it holds; what is no archive of images never.
  void check_what_is_there() {
    std::error_code ignored;
    if (!fs::exists(file_) || (fs::is_regular_file(file_) && fs::file_size(file_, ignored) == 0)) return;
    const auto refuse = [&](const std::string& why) {
      throw Error(ErrorKind::Usage, file_.string() + " is there already, and " + why,
                  "name another file, or remove that one; a folder, oci:FOLDER:NAME, holds several images");
    };
    try {
      const std::vector<std::string> names = names_in(TarTree(file_));
      if (names.empty()) refuse("it is no archive of an image");
      for (const std::string& name : names)
        if (!is_same_name(name, name_))
          refuse(names.size() > 1 ? "it holds other images, too"
                 : name.empty()   ? "it holds an image that has no name"
                                  : "it holds another image, " + name);
      there_ = true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Invalid) throw;
      refuse("it is no archive of an image");
    }
  }
  // As those who read an archive of this kind know its images; "" for one without a name. What Docker itself
  // writes names them in both documents, and differently.
  std::vector<std::string> names_in(const TarTree& tree) const {
    const bool layout = tree.open("index.json").has_value(), saved = tree.open("manifest.json").has_value();
    if (saved && (docker_ || !layout)) return saved_names(tree);
    std::vector<std::string> names;
    if (!layout) return names;
    const auto index = StoreIndex::parse(tree.read("index.json", 64u << 20), file_.string());
    for (const StoreIndex::Entry& entry : index->entries()) names.push_back(entry->name);
    return names;
  }

  static bool is_whole(ImageSource& source, const FetchedManifest& image) {
    if (is_index(image.descriptor.media_type)) {
      for (const Descriptor& child : parse_index(image.bytes))
        if (!is_whole(source, source.manifest(child, {}))) return false;
      return true;
    }
    Manifest manifest = parse_manifest(image.bytes);
    manifest.layers.push_back(manifest.config);
    for (const Descriptor& blob : manifest.layers)
      if (source.file(blob)->size != blob.size) return false;
    return true;
  }

  std::string docker_manifest(const std::string& bytes) const {
    const Manifest manifest = parse_manifest(bytes);
    json layers = json::array(), tags = json::array();
    for (const Descriptor& layer : manifest.layers) layers.push_back(member_of(layer.digest));
    if (!name_.empty()) tags.push_back(name_);
    return json::array({{{"Config", member_of(manifest.config.digest)},
                         {"RepoTags", std::move(tags)},
                         {"Layers", std::move(layers)}}})
        .dump();
  }

  // Where the member's bytes go. Members stand in the order they are first asked for.
  uint64_t reserve(const std::string& member, uint64_t size) {
    std::lock_guard lock(mutex_);
    if (!fd_) begin();
    const auto known = offsets_.find(member);
    return known != offsets_.end() ? known->second : append(member, size);
  }
  uint64_t append(const std::string& member, uint64_t size) {
    std::string header;
    TarWriter([&](std::string_view bytes) { header += bytes; }).entry({.name = member, .size = size});
    write_all_at(fd_.get(), header, static_cast<off_t>(end_), "cannot write the archive");
    const uint64_t data = end_ + header.size();
    end_ = data + size + TarWriter::padding(size);
    offsets_.emplace(member, data);
    return data;
  }
  void begin() {
    make_dirs(folder());
    const fs::path partial = folder() / ("." + file_.filename().string() + "." + random_hex(4));
    fd_ = open_file(partial, O_RDWR | O_CREAT | O_EXCL);
    partial_ = partial;
    const std::string layout = R"({"imageLayoutVersion":"1.0.0"})";
    const uint64_t at = append("oci-layout", layout.size());
    write_all_at(fd_.get(), layout, static_cast<off_t>(at), "cannot write the archive");
  }
  void add(const std::string& member, const std::string& bytes) {
    const uint64_t at = reserve(member, bytes.size());
    write_all_at(fd_.get(), bytes, static_cast<off_t>(at), "cannot write the archive");
  }

  const fs::path file_;
  const std::string name_;
  const bool docker_;
  bool there_ = false;
  std::mutex mutex_;  // guards what follows
  fs::path partial_;
  UniqueFd fd_;
  uint64_t end_ = 0;
  std::map<std::string, uint64_t> offsets_;
};

}  // namespace

std::unique_ptr<ImageTarget> layout_archive_target(const fs::path& file, std::string name) {
  return std::make_unique<ArchiveTarget>(file, std::move(name), false);
}

std::unique_ptr<ImageTarget> docker_archive_target(const fs::path& file, std::string tag) {
  if (!tag.empty()) tag = Reference::parse(tag).familiar;
  return std::make_unique<ArchiveTarget>(file, std::move(tag), true);
}

}  // namespace kiln::registry::detail
