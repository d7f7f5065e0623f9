#include "registry/store/repository_blobs.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "registry/store/store.h"
#include "registry/store/store_blobs.h"

namespace kiln::registry {
namespace {

// Beyond, what was read is forgotten and read again.
constexpr size_t kRepositories = 1024, kManifests = 16384;

constexpr std::string_view kDeleted = ".deleted";

std::string link_name(const Digest& blob) {
  return std::string(blob.algorithm()) + "-" + std::string(blob.encoded());
}

std::optional<Digest> linked_by(const fs::path& file) {
  std::string text = file.filename();
  if (text.ends_with(kDeleted)) text.resize(text.size() - kDeleted.size());
  std::ranges::replace(text, '-', ':');
  return Digest::parse(text);
}

bool is_younger(const fs::path& file, Time than) {
  struct stat st;
  return ::stat(file.c_str(), &st) == 0 && Time(std::chrono::seconds(st.st_mtim.tv_sec)) >= than;
}

}  // namespace

std::vector<Digest> required_blobs(const Manifest& manifest) {
  std::vector<Digest> out{manifest.config.digest};
  for (const Descriptor& layer : manifest.layers)
    if (!is_foreign(layer)) out.push_back(layer.digest);
  return out;
}

fs::path RepositoryBlobs::links(std::string repository) const {
  std::ranges::replace(repository, '/', '+');
  return store_.root() / "links" / repository;
}

fs::path RepositoryBlobs::link(const std::string& repository, const Digest& blob) const {
  return links(repository) / link_name(blob);
}

bool RepositoryBlobs::has(const std::string& repository, const Digest& blob) {
  return ::access(link(repository, blob).c_str(), F_OK) == 0 ||
         needed_by_manifests(repository)->contains(blob);
}

bool RepositoryBlobs::was_deleted(const std::string& repository, const Digest& blob) const {
  return ::access((link(repository, blob).string() + std::string(kDeleted)).c_str(), F_OK) == 0;
}

bool RepositoryBlobs::shows(const std::string& repository, const Digest& blob) {
  if (shows_ == Shows::AllButDeleted && !was_deleted(repository, blob)) return true;
  return has(repository, blob);
}

void RepositoryBlobs::add(const std::string& repository, const Digest& blob) {
  const fs::path file = link(repository, blob);
  const bool is_new = ::access(file.parent_path().c_str(), F_OK) != 0;
  make_dirs(file.parent_path());
  ::futimens(open_file(file, O_WRONLY | O_CREAT).get(), nullptr);
  if (shows_ == Shows::AllButDeleted && !was_deleted(repository, blob)) return;  // shown without it
  fsync_dir(file.parent_path());
  if (!is_new) return;
  fsync_dir(file.parent_path().parent_path());
  fsync_dir(store_.root());
}

void RepositoryBlobs::remove(const std::string& repository, const Digest& blob) {
  const fs::path file = link(repository, blob);
  if (::rename(file.c_str(), (file.string() + std::string(kDeleted)).c_str()) != 0 && errno != ENOENT)
    throw_errno("cannot remove " + file.string());
}

void RepositoryBlobs::note_deleted(const std::string& repository, const Digest& blob) {
  const fs::path file = link(repository, blob);
  make_dirs(file.parent_path());
  open_file(file.string() + std::string(kDeleted), O_WRONLY | O_CREAT);
}

RepositoryBlobs::Blobs RepositoryBlobs::received(const std::string& repository) const {
  Blobs out;
  std::error_code none;
  for (const auto& file : fs::directory_iterator(links(repository), none))
    if (auto digest = linked_by(file.path())) out.insert(std::move(*digest));
  return out;
}

bool RepositoryBlobs::is_linked(const Digest& blob) const {
  std::error_code none;
  for (const auto& folder : fs::directory_iterator(store_.root() / "links", none))
    if (::access((folder.path() / link_name(blob)).c_str(), F_OK) == 0) return true;
  return false;
}

void RepositoryBlobs::prune(Time old) {
  std::error_code none;
  for (const auto& folder : fs::directory_iterator(store_.root() / "links", none)) prune(folder.path(), old);
}

void RepositoryBlobs::prune(const fs::path& folder, Time old) {
  std::string repository = folder.filename();
  std::ranges::replace(repository, '+', '/');
  const auto goes = [&](const fs::path& file, const Digest& blob, const Blobs& needed) {
    if (!store_.has(blob)) return true;
    return !needed.contains(blob) && !is_younger(file, old) && !is_younger(store_.blob_path(blob), old);
  };
  const auto needed = [&] {
    return old == Time::min() ? Blobs{} : named_in(*store_.index(), repository, /*sparse=*/true);
  };
  std::vector<std::pair<fs::path, Digest>> candidates;
  const Blobs before = needed();
  std::error_code none;
  for (const auto& file : fs::directory_iterator(folder, none))
    if (const auto blob = linked_by(file.path()); blob && goes(file.path(), *blob, before))
      candidates.emplace_back(file.path(), *blob);
  if (candidates.empty()) return;
  // Looked at again while nobody names one, or brings one back.
  const FileLock names = store_.lock_names();
  const FileLock sweep = detail::lock_sweep(store_.root(), FileLock::Mode::Exclusive);
  const Blobs now = needed();
  for (const auto& [file, blob] : candidates)
    if (goes(file, blob, now)) ::unlink(file.c_str());
}

RepositoryBlobs::Blobs RepositoryBlobs::named_in(const StoreIndex& index, const std::string& repository,
                                                 bool sparse) {
  Blobs out;
  for (const IndexEntry* entry : index.of_repository(repository)) {
    if (!is_manifest(entry->descriptor.media_type)) continue;
    if (!sparse && entry->descriptor.annotations.contains(kSparse)) continue;
    const auto blobs = blobs_of(entry->descriptor.digest);
    out.insert(blobs->begin(), blobs->end());
  }
  return out;
}

std::shared_ptr<const RepositoryBlobs::Blobs> RepositoryBlobs::needed_by_manifests(
    const std::string& repository) {
  const auto index = store_.index();
  {
    std::lock_guard lock(mutex_);
    const auto it = repositories_.find(repository);
    if (it != repositories_.end() && it->second.index == index) return it->second.blobs;
  }
  auto all = std::make_shared<const Blobs>(named_in(*index, repository, /*sparse=*/false));
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
