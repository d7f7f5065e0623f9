#include "registry/store.h"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <tuple>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/text.h"

namespace kiln::registry {
namespace {

using nlohmann::json;
constexpr uint64_t kIndexLimit = 64u << 20;
constexpr int kIndexDepthLimit = 4;
constexpr auto kAbandonedAfter = std::chrono::hours(1);

// What makes a file the same file unchanged.
using FileStamp = std::tuple<dev_t, ino_t, off_t, int64_t, int64_t>;

FileStamp stamp_of(const struct stat& st) {
  const auto ns = [](const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; };
  return {st.st_dev, st.st_ino, st.st_size, ns(st.st_mtim), ns(st.st_ctim)};
}

Digest digest_of_file(int fd, std::string_view algorithm) {
  Hasher hasher(algorithm);
  std::string buffer(1u << 20, '\0');
  for (off_t offset = 0;;) {
    const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read from the image store");
    if (n == 0) return hasher.finish();
    hasher.update({buffer.data(), static_cast<size_t>(n)});
    offset += n;
  }
}

}  // namespace

struct Store::Verified {
  std::mutex mutex;
  std::map<Digest, FileStamp> good;
};

struct BlobWriter::State {
  std::filesystem::path root;
  std::filesystem::path path;
  UniqueFd fd;
  Hasher hasher;
  uint64_t size = 0;

  ~State() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

BlobWriter::BlobWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlobWriter::BlobWriter(BlobWriter&&) noexcept = default;
BlobWriter::~BlobWriter() = default;

void BlobWriter::write(std::string_view bytes) {
  write_all(state_->fd.get(), bytes, "cannot write into the image store");
  state_->hasher.update(bytes);
  state_->size += bytes.size();
}

uint64_t BlobWriter::size() const {
  return state_->size;
}

Digest BlobWriter::commit(const std::optional<Digest>& expected) {
  State& state = *state_;
  Digest digest = state.hasher.finish();
  if (expected && expected->algorithm() != digest.algorithm())
    digest = digest_of_file(state.fd.get(), expected->algorithm());  // it was not known when writing began
  if (expected && digest != *expected)
    throw Error(ErrorKind::Invalid, "the content's digest is " + digest.text() + ", not " + expected->text(),
                "it was damaged on its way, or the digest belongs to something else");
  const auto folder = state.root / "blobs" / digest.algorithm();
  const auto target = folder / digest.encoded();
  struct stat st;
  if (::stat(target.c_str(), &st) == 0 && static_cast<uint64_t>(st.st_size) == state.size) return digest;
  if (::fsync(state.fd.get()) != 0) throw_errno("cannot write into the image store");
  make_dirs(folder);
  failpoint("blob.publish");
  if (::rename(state.path.c_str(), target.c_str()) != 0) throw_errno("cannot write " + target.string());
  failpoint("blob.published");
  state.path.clear();
  fsync_dir(folder);
  return digest;
}

Store::Store(std::filesystem::path root) : root_(std::move(root)), verified_(std::make_unique<Verified>()) {
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

std::filesystem::path Store::blob_path(const Digest& digest) const {
  return root_ / "blobs" / digest.algorithm() / digest.encoded();
}

bool Store::has(const Digest& digest) const {
  return size(digest).has_value();
}

std::optional<uint64_t> Store::size(const Digest& digest) const {
  struct stat st;
  if (::stat(blob_path(digest).c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return std::nullopt;
  return static_cast<uint64_t>(st.st_size);
}

UniqueFd Store::open(const Digest& digest) const {
  UniqueFd fd(::open(blob_path(digest).c_str(), O_RDONLY | O_CLOEXEC));
  if (fd) return fd;
  if (errno == ENOENT)
    throw Error(ErrorKind::NotFound, "the image store has no blob " + digest.text(),
                "the image is incomplete; pull or build it again");
  throw_errno("cannot open " + blob_path(digest).string());
}

std::string Store::read(const Digest& digest, uint64_t limit) const {
  UniqueFd fd = open(digest);
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) throw_errno("cannot read " + blob_path(digest).string());
  if (static_cast<uint64_t>(st.st_size) > limit)
    throw Error(ErrorKind::Invalid, "blob " + digest.text() + " is larger than " + format_bytes(limit));
  std::string bytes = read_file(blob_path(digest), limit);
  Hasher hasher(digest.algorithm());
  hasher.update(bytes);
  if (hasher.finish() != digest)
    throw Error(ErrorKind::Invalid, "blob " + digest.text() + " in the image store is damaged",
                "remove " + blob_path(digest).string() + " and pull or build the image again");
  return bytes;
}

void Store::verify(const Digest& digest) const {
  UniqueFd fd = open(digest);
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) throw_errno("cannot read " + blob_path(digest).string());
  {
    std::lock_guard lock(verified_->mutex);
    const auto it = verified_->good.find(digest);
    if (it != verified_->good.end() && it->second == stamp_of(st)) return;
  }
  if (digest_of_file(fd.get(), digest.algorithm()) != digest)
    throw Error(ErrorKind::Invalid, "blob " + digest.text() + " in the image store is damaged",
                "remove " + blob_path(digest).string() + " and pull or build the image again");
  std::lock_guard lock(verified_->mutex);
  verified_->good.insert_or_assign(digest, stamp_of(st));
}

BlobWriter Store::begin_blob(std::string_view algorithm) {
  auto state = std::unique_ptr<BlobWriter::State>(
      new BlobWriter::State{root_, root_ / "uploads" / random_hex(16), {}, Hasher(algorithm)});
  state->fd = open_file(state->path, O_RDWR | O_CREAT | O_EXCL, 0644);
  ::flock(state->fd.get(), LOCK_EX);  // says "someone is at it" until this process ends, however it ends
  return BlobWriter(std::move(state));
}

Descriptor Store::put(std::string_view bytes, std::string_view media_type) {
  const Digest digest = sha256(bytes);
  if (size(digest) != bytes.size()) {
    BlobWriter writer = begin_blob();
    writer.write(bytes);
    writer.commit(digest);
  }
  return {std::string(media_type), digest, bytes.size(), {}, {}, {}, {}};
}

void Store::remove_blob(const Digest& digest) {
  if (::unlink(blob_path(digest).c_str()) != 0 && errno != ENOENT)
    throw_errno("cannot remove " + blob_path(digest).string());
}

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
