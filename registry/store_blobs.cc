#include "registry/store_blobs.h"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "registry/store.h"

namespace kiln::registry {
namespace detail {
FileStamp stamp_of(const struct stat& st) {
  const auto ns = [](const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; };
  return {st.st_dev, st.st_ino, st.st_size, ns(st.st_mtim), ns(st.st_ctim)};
}

namespace {

constexpr const char* kVerified = "user.kiln.verified";
constexpr off_t kWorthAttribute = 1 << 20;  // bytes; what is smaller is read faster than noted

// The inode, size and time of the file that was read: a copy, or one that was written to, is another. Not the
// ctime, which the attribute itself changes.
std::string verified_text(const struct stat& st) {
  return std::to_string(st.st_ino) + " " + std::to_string(st.st_size) + " " +
         std::to_string(st.st_mtim.tv_sec) + "." + std::to_string(st.st_mtim.tv_nsec);
}

}  // namespace

FileLock lock_sweep(const fs::path& root, FileLock::Mode mode) {
  return FileLock(root / ".sweep.lock", mode);
}

void hash_file(int fd, Hasher& hasher) {
  std::string buffer(1u << 20, '\0');
  for (off_t offset = 0;;) {
    const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read from the image store");
    if (n == 0) return;
    hasher.update({buffer.data(), static_cast<size_t>(n)});
    offset += n;
  }
}

Digest digest_of_file(int fd, std::string_view algorithm) {
  Hasher hasher(algorithm);
  hash_file(fd, hasher);
  return hasher.finish();
}

fs::path BlobFiles::path(const Digest& digest) const {
  return root_ / "blobs" / digest.algorithm() / digest.encoded();
}

bool BlobFiles::heal(const Digest& digest, bool read_anew) {
  for (;;) {
    const UniqueFd fd(::open(path(digest).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd && errno == ENOENT) return false;
    struct stat st;
    if (!fd || ::fstat(fd.get(), &st) != 0) throw_errno("cannot read " + path(digest).string());
    if (!read_anew && is_known(digest, fd.get(), st)) return true;
    if (digest_of_file(fd.get(), digest.algorithm()) == digest) {
      struct stat after;
      if (::fstat(fd.get(), &after) == 0 && stamp_of(after) == stamp_of(st)) note_good(digest, fd.get());
      return true;
    }
    if (quarantine(digest, st)) return false;
  }
}

bool BlobFiles::keep(const Digest& digest) {
  const FileLock lock = lock_sweep(root_, FileLock::Mode::Shared);
  const UniqueFd fd(::open(path(digest).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st;
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return false;
  if (::time(nullptr) - st.st_mtime < std::chrono::seconds(kKeepAgainAfter).count()) return true;
  const timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  const bool known = is_known(digest, fd.get(), st);
  // A store that cannot be written to is not collected by this user, either.
  if (::futimens(fd.get(), times) == 0 && known) note_good(digest, fd.get());
  return true;
}

bool BlobFiles::quarantine(const Digest& digest, const struct stat& seen) {
  const FileLock lock = lock_sweep(root_, FileLock::Mode::Exclusive);
  struct stat st;
  if (::stat(path(digest).c_str(), &st) != 0) return true;
  if (st.st_dev != seen.st_dev || st.st_ino != seen.st_ino) return false;
  const fs::path folder = root_ / "quarantine" / digest.algorithm();
  make_dirs(folder);
  if (::rename(path(digest).c_str(), (folder / digest.encoded()).c_str()) != 0)
    throw_errno("cannot put the damaged " + path(digest).string() + " aside");
  forget(digest);
  return true;
}

void BlobFiles::forget(const Digest& digest) {
  std::lock_guard lock(mutex_);
  good_.erase(digest);
}

void BlobFiles::note_new_in(const fs::path& folder) {
  std::lock_guard lock(mutex_);
  changed_folders_.insert(folder);
}

void BlobFiles::sync_folders() {
  std::set<fs::path> folders;
  {
    std::lock_guard lock(mutex_);
    folders.swap(changed_folders_);  // what comes while this one syncs is noted for the next
  }
  try {
    for (const fs::path& folder : folders) fsync_dir(folder);
  } catch (...) {
    std::lock_guard lock(mutex_);
    changed_folders_.merge(folders);
    throw;
  }
}

bool BlobFiles::is_known(const Digest& digest, int fd, const struct stat& st) {
  {
    std::lock_guard lock(mutex_);
    const auto it = good_.find(digest);
    if (it != good_.end() && it->second == stamp_of(st)) return true;
  }
  if (st.st_size < kWorthAttribute) return false;
  char text[128];
  const ssize_t size = ::fgetxattr(fd, kVerified, text, sizeof text);
  return size > 0 && std::string_view(text, static_cast<size_t>(size)) == verified_text(st);
}

void BlobFiles::note_good(const Digest& digest, int fd) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return;
  if (st.st_size >= kWorthAttribute) {
    const std::string text = verified_text(st);
    // File systems without attributes, and stores that cannot be written to, are read once a process.
    if (::fsetxattr(fd, kVerified, text.data(), text.size(), 0) == 0 && ::fstat(fd, &st) != 0) return;
  }
  std::lock_guard lock(mutex_);
  good_.insert_or_assign(digest, stamp_of(st));
}

}  // namespace detail

namespace {

constexpr size_t kWriterIdSize = 32;
// So much of a blob is sent to the disk while the rest still comes, so that the fsync at the end finds little
// to do.
constexpr uint64_t kWriteBack = 8u << 20;

Error damaged(const Store& store, const Digest& digest) {
  return Error(
      ErrorKind::Invalid,
      "blob " + digest.text() + " was damaged; it is in " + (store.root() / "quarantine").string() + " now",
      "pull, push or build the image again: that brings the blob anew");
}

}  // namespace

struct BlobWriter::State {
  std::shared_ptr<detail::BlobFiles> files;
  std::string id;
  std::filesystem::path path;
  UniqueFd fd;
  Hasher hasher;
  uint64_t size = 0;
  bool suspended = false;
  uint64_t written_back = 0;

  ~State() {
    if (!path.empty() && !suspended) ::unlink(path.c_str());
  }
};

BlobWriter::BlobWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlobWriter::BlobWriter(BlobWriter&&) noexcept = default;
BlobWriter::~BlobWriter() = default;

const std::string& BlobWriter::id() const {
  return state_->id;
}

void BlobWriter::write(std::string_view bytes) {
  try {
    write_all(state_->fd.get(), bytes, "cannot write into the image store");
  } catch (const Error&) {  // a part of it may be there: whoever goes on begins where this piece began
    const auto size = static_cast<off_t>(state_->size);
    if (::ftruncate(state_->fd.get(), size) == 0) ::lseek(state_->fd.get(), size, SEEK_SET);
    throw;
  }
  state_->hasher.update(bytes);
  state_->size += bytes.size();
  if (state_->size - state_->written_back < kWriteBack) return;
  // Only begins it, and is no promise: where it fails, fsync will say so.
  ::sync_file_range(state_->fd.get(), static_cast<off_t>(state_->written_back),
                    static_cast<off_t>(state_->size - state_->written_back), SYNC_FILE_RANGE_WRITE);
  state_->written_back = state_->size;
}

uint64_t BlobWriter::size() const {
  return state_->size;
}

void BlobWriter::flush() {
  if (::fdatasync(state_->fd.get()) != 0) throw_errno("cannot write into the image store");
}

void BlobWriter::suspend() {
  state_->suspended = true;
}

Digest BlobWriter::commit(const std::optional<Digest>& expected) {
  const Digest digest = publish(expected);
  fsync_dir(state_->files->path(digest).parent_path());
  return digest;
}

Digest BlobWriter::commit_before_update(const std::optional<Digest>& expected) {
  const Digest digest = publish(expected);
  state_->files->note_new_in(state_->files->path(digest).parent_path());
  return digest;
}

Digest BlobWriter::publish(const std::optional<Digest>& expected) {
  State& state = *state_;
  Digest digest = state.hasher.finish();
  if (expected && expected->algorithm() != digest.algorithm())
    digest = detail::digest_of_file(state.fd.get(), expected->algorithm());  // not known when writing began
  if (expected && digest != *expected)
    throw Error(ErrorKind::Invalid, "the content's digest is " + digest.text() + ", not " + expected->text(),
                "it was damaged on its way, or the digest belongs to something else");
  const auto target = state.files->path(digest);
  const auto folder = target.parent_path();
  // The folder is brought to disk then, too: who put it there may not have come so far.
  if (state.files->heal(digest) && state.files->keep(digest)) return digest;
  if (::fsync(state.fd.get()) != 0) throw_errno("cannot write into the image store");
  make_dirs(folder);
  {
    const FileLock lock = detail::lock_sweep(state.files->root(), FileLock::Mode::Shared);
    // What was written long ago (a resumed upload) is young again.
    if (::futimens(state.fd.get(), nullptr) != 0) throw_errno("cannot write into the image store");
    failpoint("blob.publish");
    if (::rename(state.path.c_str(), target.c_str()) != 0) throw_errno("cannot write " + target.string());
  }
  failpoint("blob.published");
  state.path.clear();
  state.files->note_good(digest, state.fd.get());
  return digest;
}

std::filesystem::path Store::blob_path(const Digest& digest) const {
  return files_->path(digest);
}

bool Store::has(const Digest& digest) const {
  return size(digest).has_value();
}

bool Store::keep(const Digest& digest) const {
  return files_->keep(digest);
}

bool Store::heal(const Digest& digest, bool read_anew) const {
  return files_->heal(digest, read_anew);
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
  const UniqueFd fd = open(digest);
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) throw_errno("cannot read " + blob_path(digest).string());
  if (static_cast<uint64_t>(st.st_size) > limit)
    throw Error(ErrorKind::Invalid, "blob " + digest.text() + " is larger than " + format_bytes(limit));
  const std::string bytes = read_file("/proc/self/fd/" + std::to_string(fd.get()), limit);
  Hasher hasher(digest.algorithm());
  hasher.update(bytes);
  if (hasher.finish() == digest) return bytes;
  files_->quarantine(digest, st);
  throw damaged(*this, digest);
}

void Store::verify(const Digest& digest) const {
  const UniqueFd there = open(digest);
  if (!heal(digest)) throw damaged(*this, digest);
}

BlobWriter Store::begin_blob(std::string_view algorithm) {
  std::string id = random_hex(kWriterIdSize / 2);
  auto state = std::unique_ptr<BlobWriter::State>(
      new BlobWriter::State{files_, id, root_ / "uploads" / id, {}, Hasher(algorithm)});
  state->fd = open_file(state->path, O_RDWR | O_CREAT | O_EXCL, 0644);
  ::flock(state->fd.get(), LOCK_EX);  // says "someone is at it" until this process ends, however it ends
  return BlobWriter(std::move(state));
}

bool Store::is_writer_id(std::string_view text) {
  return text.size() == kWriterIdSize && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<BlobWriter> Store::resume_blob(std::string_view id, std::string_view algorithm,
                                             const std::function<uint64_t(uint64_t)>& trusted) {
  if (!is_writer_id(id)) return std::nullopt;
  const fs::path path = root_ / "uploads" / id;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return std::nullopt;
  struct stat st;
  if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink == 0) return std::nullopt;
  const uint64_t size = trusted(static_cast<uint64_t>(st.st_size));
  auto state = std::unique_ptr<BlobWriter::State>(
      new BlobWriter::State{files_, std::string(id), {}, std::move(fd), Hasher(algorithm), size});
  if (::ftruncate(state->fd.get(), static_cast<off_t>(size)) != 0 ||
      ::lseek(state->fd.get(), 0, SEEK_END) < 0)
    throw_errno("cannot carry on with " + path.string());
  detail::hash_file(state->fd.get(), state->hasher);
  state->path = path;
  return BlobWriter(std::move(state));
}

Descriptor Store::put(std::string_view bytes, std::string_view media_type) {
  const Digest digest = sha256(bytes);
  if (!heal(digest) || !keep(digest)) {
    BlobWriter writer = begin_blob();
    writer.write(bytes);
    writer.commit(digest);
  }
  return {std::string(media_type), digest, bytes.size(), {}, {}, {}, {}};
}

void Store::remove_blob(const Digest& digest) {
  if (::unlink(blob_path(digest).c_str()) != 0 && errno != ENOENT)
    throw_errno("cannot remove " + blob_path(digest).string());
  files_->forget(digest);
}

}  // namespace kiln::registry
