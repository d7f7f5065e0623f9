#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "registry/background_hasher.h"
#include "registry/store/store.h"
#include "registry/store/store_blobs.h"

// Blobs as the Store gives and takes them.
namespace kiln::registry {
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
  BackgroundHasher hasher;
  uint64_t size = 0;
  bool suspended = false;
  uint64_t written_back = 0;

  // To the file, not to the hasher.
  void append(std::string_view bytes);

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

void BlobWriter::State::append(std::string_view bytes) {
  try {
    write_all(fd.get(), bytes, "cannot write into the image store");
  } catch (const Error&) {  // a part of it may be there: whoever goes on begins where this piece began
    const auto end = static_cast<off_t>(size);
    if (::ftruncate(fd.get(), end) == 0) ::lseek(fd.get(), end, SEEK_SET);
    throw;
  }
  size += bytes.size();
  if (size - written_back < kWriteBack) return;
  // Only begins it, and is no promise: where it fails, fsync will say so.
  ::sync_file_range(fd.get(), static_cast<off_t>(written_back), static_cast<off_t>(size - written_back),
                    SYNC_FILE_RANGE_WRITE);
  written_back = size;
}

void BlobWriter::write(std::string_view bytes) {
  state_->append(bytes);
  state_->hasher.update(bytes);
}

std::string BlobWriter::write_piece(std::string piece) {
  state_->append(piece);
  return state_->hasher.update_later(std::move(piece));
}

uint64_t BlobWriter::size() const {
  return state_->size;
}

void BlobWriter::flush() {
  if (::fdatasync(state_->fd.get()) != 0) throw_errno("cannot write into the image store");
}

void BlobWriter::rest() {
  state_->hasher.rest();
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
      new BlobWriter::State{files_, id, root_ / kUploads / id, {}, Hasher(algorithm)});
  do {  // the folder goes with the last who writes into a layout for others
    make_dirs(root_ / kUploads);
    state->fd = UniqueFd(::open(state->path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  } while (!state->fd && errno == ENOENT);
  if (!state->fd) throw_errno("cannot write into the image store");
  detail::lock_for_life(state->fd.get(), state->path);
  return BlobWriter(std::move(state));
}

bool Store::is_writer_id(std::string_view text) {
  return text.size() == kWriterIdSize && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<BlobWriter> Store::resume_blob(std::string_view id, std::string_view algorithm,
                                             const std::function<uint64_t(uint64_t)>& trusted) {
  if (!is_writer_id(id)) return std::nullopt;
  const fs::path path = root_ / kUploads / id;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return std::nullopt;
  struct stat st;
  if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink == 0) return std::nullopt;
  const uint64_t size = trusted(static_cast<uint64_t>(st.st_size));
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0 || ::lseek(fd.get(), 0, SEEK_END) < 0)
    throw_errno("cannot carry on with " + path.string());
  Hasher hasher(algorithm);
  detail::hash_file(fd.get(), hasher);
  auto state = std::unique_ptr<BlobWriter::State>(
      new BlobWriter::State{files_, std::string(id), path, std::move(fd), std::move(hasher), size});
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
