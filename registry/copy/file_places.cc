#include "registry/copy/file_places.h"

#include <algorithm>
#include <fcntl.h>
#include <mutex>
#include <set>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "registry/store/store_index.h"

namespace kiln::registry::detail {
namespace {

constexpr uint64_t kManifestLimit = 4u << 20, kIndexLimit = 64u << 20;

class LayoutSource : public FileSource {
 public:
  LayoutSource(std::unique_ptr<FileTree> files, std::string name)
      : FileSource(std::move(files)), name_(std::move(name)) {}

 private:
  FetchedManifest top() override {
    const auto index = StoreIndex::parse(this->files().read("index.json", kIndexLimit), files().name());
    const IndexEntry* found = name_.empty() ? nullptr : index->find(name_);
    std::vector<std::string> names;
    for (const StoreIndex::Entry& entry : index->entries()) {
      names.push_back(entry->name.empty() ? entry->descriptor.digest.text() : entry->name);
      if (!name_.empty() && entry->descriptor.digest.text() == name_) found = entry.get();
    }
    if (name_.empty() && index->entries().size() == 1) found = index->entries()[0].get();
    if (!found) {
      std::ranges::sort(names);
      names.erase(std::unique(names.begin(), names.end()), names.end());
      const std::string there = names.empty() ? "it is empty" : "it has " + join(names, ", ");
      throw Error(ErrorKind::NotFound,
                  name_.empty() ? files().name() + " holds no single image; name the one you mean"
                                : files().name() + " has no image " + name_,
                  there);
    }
    const Descriptor& image = found->descriptor;
    return manifest(image, {});
  }
  std::string path_of(const Digest& digest, bool) const override {
    return "blobs/" + std::string(digest.algorithm()) + "/" + std::string(digest.encoded());
  }

  const std::string name_;
};

// Blobs beside each other by their digests' digits; the image is manifest.json.
std::string name_in_folder(const Digest& digest, bool manifest) {
  return (digest.algorithm() == "sha256" ? "" : std::string(digest.algorithm()) + "-") +
         std::string(digest.encoded()) + (manifest ? ".manifest.json" : "");
}

class FolderSource : public FileSource {
 public:
  explicit FolderSource(std::unique_ptr<FileTree> files) : FileSource(std::move(files)) {}

 private:
  FetchedManifest top() override {
    return checked_manifest(files().read("manifest.json", kManifestLimit), {}, {});
  }
  std::string path_of(const Digest& digest, bool manifest) const override {
    return name_in_folder(digest, manifest);
  }
};

class FolderTarget : public ImageTarget {
 public:
  explicit FolderTarget(fs::path folder) : folder_(std::move(folder)) {
    std::error_code ignored;
    if (fs::exists(folder_) && !fs::is_empty(folder_, ignored) && !fs::exists(folder_ / "version"))
      throw Error(ErrorKind::Usage, folder_.string() + " holds something else than an image",
                  "name a folder that is empty or not there yet");
    was_there_ = fs::exists(folder_);
    make_dirs(folder_);
  }
  ~FolderTarget() override {
    if (complete_) return;
    for (const std::string& name : written_) ::unlink((folder_ / name).c_str());
    if (!was_there_) ::rmdir(folder_.c_str());
  }

  Put put_blob(const Descriptor& blob, ImageSource& source, const std::function<void(uint64_t)>& progress,
               std::stop_token stop) override {
    const std::string name = name_in_folder(blob.digest, false);
    keep(name);
    if (is_there(blob, name)) return Put::Present;
    const fs::path partial = folder_ / ("." + name + "." + random_hex(4));
    const UniqueFd fd = open_file(partial, O_WRONLY | O_CREAT | O_EXCL);
    OnExit remove([&] { ::unlink(partial.c_str()); });
    FileSink sink(fd.get(), 0, blob);
    source.read_blob(blob, sink, progress, std::move(stop));
    if (::fsync(fd.get()) != 0) throw_errno("cannot write " + partial.string());
    fs::rename(partial, folder_ / name);
    remove.dismiss();
    std::lock_guard lock(mutex_);
    written_.insert(name);
    return Put::Moved;
  }

  void put_manifest(const FetchedManifest& manifest, bool top, std::stop_token) override {
    const std::string name =
        top ? std::string("manifest.json") : name_in_folder(manifest.descriptor.digest, true);
    keep(name);
    if (top) {
      write_file_atomic(folder_ / "version", "Directory Transport Version: 1.1\n");
      fsync_dir(folder_);
    }
    write_file_atomic(folder_ / name, manifest.bytes);
    if (!top) return;
    complete_ = true;
    remove_others();
  }

 private:
  void keep(const std::string& name) {
    std::lock_guard lock(mutex_);
    kept_.insert(name);
  }
  bool is_there(const Descriptor& blob, const std::string& name) const {
    const auto part = FolderTree(folder_).open(name);
    if (!part || part->size != blob.size) return false;
    DigestSink check(blob);
    try {
      copy_part(*part, check);
      return true;
    } catch (const Error&) {  // it is written anew
      return false;
    }
  }
  // The image that was there before; nothing that does not look like part of one.
  void remove_others() {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const std::string name = entry.path().filename().string();
      const std::string digits = name.substr(0, name.find('.'));
      const bool ours = (digits.size() == 64 && Digest::parse("sha256:" + digits)) ||
                        (digits.starts_with("sha512-") && Digest::parse("sha512:" + digits.substr(7)));
      if (ours && !kept_.contains(name)) fs::remove(entry.path());
    }
  }

  const fs::path folder_;
  bool was_there_ = false, complete_ = false;
  std::mutex mutex_;
  std::set<std::string> kept_;     // belongs to the image
  std::set<std::string> written_;  // of it, what was not there
};

}  // namespace

FetchedManifest FileSource::manifest(const std::optional<Descriptor>& which, std::stop_token) {
  if (!which) return top();
  return checked_manifest(files_->read(path_of(which->digest, true), kManifestLimit), which->media_type,
                          which->digest);
}

std::optional<FilePart> FileSource::file(const Descriptor& blob) {
  auto part = files_->open(path_of(blob.digest, false));
  if (!part)
    throw Error(ErrorKind::NotFound, files_->name() + " has no blob " + blob.digest.text(),
                "the image there is incomplete");
  return part;
}

void FileSource::read_blob(const Descriptor& blob, BlobSink& sink,
                           const std::function<void(uint64_t)>& progress, std::stop_token stop) {
  const auto part = file(blob);
  try {
    copy_part(*part, sink, progress, stop);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Invalid) throw;
    throw error.because("blob " + blob.digest.short_text() + " of " + files_->name() + " is damaged");
  }
}

void FileSource::verify(const Descriptor& blob) {
  DigestSink sink(blob);
  read_blob(blob, sink, {}, {});
}

std::unique_ptr<ImageSource> layout_source(std::unique_ptr<FileTree> files, std::string name) {
  return std::make_unique<LayoutSource>(std::move(files), std::move(name));
}

std::unique_ptr<ImageSource> folder_source(const fs::path& folder) {
  return std::make_unique<FolderSource>(std::make_unique<FolderTree>(folder));
}

std::unique_ptr<ImageTarget> folder_target(const fs::path& folder) {
  return std::make_unique<FolderTarget>(folder);
}

}  // namespace kiln::registry::detail
