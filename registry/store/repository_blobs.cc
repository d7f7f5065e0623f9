#include "registry/store/repository_blobs.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "registry/store/store.h"

namespace kiln::registry {
namespace {

// Beyond, what was read is forgotten and read again.
constexpr size_t kRepositories = 1024, kManifests = 16384;

std::string link_name(const Digest& blob) {
  return std::string(blob.algorithm()) + "-" + std::string(blob.encoded());
}

}  // namespace

std::vector<Digest> required_blobs(const Manifest& manifest) {
  std::vector<Digest> out{manifest.config.digest};
  for (const Descriptor& layer : manifest.layers)
    if (layer.media_type.find("foreign") == std::string::npos &&
        layer.media_type.find("nondistributable") == std::string::npos)
      out.push_back(layer.digest);
  return out;
}

fs::path RepositoryBlobs::link(std::string_view repository, const Digest& blob) const {
  std::string folder(repository);
  std::ranges::replace(folder, '/', '+');
  return store_.root() / "links" / folder / link_name(blob);
}

bool RepositoryBlobs::has(const std::string& repository, const Digest& blob) {
  return ::access(link(repository, blob).c_str(), F_OK) == 0 ||
         needed_by_manifests(repository)->contains(blob);
}

void RepositoryBlobs::add(const std::string& repository, const Digest& blob) {
  const fs::path file = link(repository, blob);
  const bool is_new = ::access(file.parent_path().c_str(), F_OK) != 0;
  make_dirs(file.parent_path());
  open_file(file, O_WRONLY | O_CREAT);
  fsync_dir(file.parent_path());
  if (!is_new) return;
  fsync_dir(file.parent_path().parent_path());
  fsync_dir(store_.root());
}

void RepositoryBlobs::remove(const std::string& repository, const Digest& blob) {
  if (::unlink(link(repository, blob).c_str()) != 0 && errno != ENOENT)
    throw_errno("cannot remove " + link(repository, blob).string());
}

bool RepositoryBlobs::is_linked(const Digest& blob) const {
  std::error_code none;
  for (const auto& folder : fs::directory_iterator(store_.root() / "links", none))
    if (::access((folder.path() / link_name(blob)).c_str(), F_OK) == 0) return true;
  return false;
}

void RepositoryBlobs::prune() const {
  std::error_code none;
  for (const auto& folder : fs::directory_iterator(store_.root() / "links", none)) {
    for (const auto& file : fs::directory_iterator(folder.path(), none)) {
      std::string text = file.path().filename();
      std::ranges::replace(text, '-', ':');
      const auto digest = Digest::parse(text);
      if (digest && !store_.has(*digest)) ::unlink(file.path().c_str());
    }
  }
}

std::shared_ptr<const RepositoryBlobs::Blobs> RepositoryBlobs::needed_by_manifests(
    const std::string& repository) {
  const auto index = store_.index();
  {
    std::lock_guard lock(mutex_);
    const auto it = repositories_.find(repository);
    if (it != repositories_.end() && it->second.index == index) return it->second.blobs;
  }
  auto all = std::make_shared<Blobs>();
  for (const IndexEntry* entry : index->of_repository(repository)) {
    if (!is_manifest(entry->descriptor.media_type) || entry->descriptor.annotations.contains(kSparse))
      continue;
    const auto blobs = blobs_of(entry->descriptor.digest);
    all->insert(blobs->begin(), blobs->end());
  }
  std::lock_guard lock(mutex_);
  if (repositories_.size() >= kRepositories) repositories_.clear();
  repositories_[repository] = {index, all};
  return all;
}

std::shared_ptr<const RepositoryBlobs::Blobs> RepositoryBlobs::blobs_of(const Digest& manifest) {
  {
    std::lock_guard lock(mutex_);
    if (const auto it = manifests_.find(manifest); it != manifests_.end()) return it->second;
  }
  auto blobs = std::make_shared<Blobs>();
  try {
    // Not the foreign ones: nobody has shown that the repository has them.
    for (const Digest& blob : required_blobs(parse_manifest(store_.read(manifest)))) blobs->insert(blob);
  } catch (const Error& error) {  // lost or damaged: it may come back, so this is not remembered
    if (error.kind() == ErrorKind::Infrastructure) throw;
    return blobs;
  }
  std::lock_guard lock(mutex_);
  if (manifests_.size() >= kManifests) manifests_.clear();
  manifests_.emplace(manifest, blobs);
  return blobs;
}

}  // namespace kiln::registry
