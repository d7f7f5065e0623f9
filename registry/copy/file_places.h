#pragma once

#include <memory>
#include <string>
#include <vector>

#include "registry/copy/file_tree.h"
#include "registry/copy/image_place.h"

// Inside of registry/copy/image_place.cc: images in files that other tools wrote or are to read.
namespace kiln::registry::detail {

// An image whose blobs are files.
class FileSource : public ImageSource {
 public:
  FetchedManifest manifest(const std::optional<Descriptor>& which, std::stop_token stop) override;
  std::optional<FilePart> file(const Descriptor& blob) override;
  void read_blob(const Descriptor& blob, BlobSink& sink, const std::function<void(uint64_t)>& progress,
                 std::stop_token stop) override;
  void verify(const Descriptor& blob) override;

 protected:
  explicit FileSource(std::unique_ptr<FileTree> files) : files_(std::move(files)) {}
  virtual FetchedManifest top() = 0;
  virtual std::string path_of(const Digest& digest, bool manifest) const = 0;
  const FileTree& files() const { return *files_; }

 private:
  const std::unique_ptr<FileTree> files_;
};

// oci: and oci-archive:. Without a name, the only image there.
std::unique_ptr<ImageSource> layout_source(std::unique_ptr<FileTree> files, std::string name);
// dir:
std::unique_ptr<ImageSource> folder_source(const std::filesystem::path& folder);
std::unique_ptr<ImageTarget> folder_target(const std::filesystem::path& folder);
// docker-archive:
std::unique_ptr<ImageSource> docker_archive_source(std::unique_ptr<FileTree> files, std::string name);
// The names that manifest.json gives its images, each image without one as "". Throws Invalid.
std::vector<std::string> saved_names(const FileTree& files);
// As written, or as references: "hello" is "hello:latest".
bool is_same_name(const std::string& a, const std::string& b);
// oci-archive:, and docker-archive: with `tag` for `docker load`.
std::unique_ptr<ImageTarget> layout_archive_target(const std::filesystem::path& file, std::string name);
std::unique_ptr<ImageTarget> docker_archive_target(const std::filesystem::path& file, std::string tag);

}  // namespace kiln::registry::detail
