#include "registry/blob_sink.h"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"

namespace kiln::registry {
namespace {

constexpr size_t kCopied = 256u << 10;  // at a time

Error longer(const Descriptor& blob) {
  return Error(ErrorKind::Invalid, "blob " + blob.digest.short_text() + " has more than the " +
                                       format_bytes(blob.size) + " that its manifest says");
}

void check_digest(const Descriptor& blob, const Digest& actual) {
  if (actual != blob.digest)
    throw Error(ErrorKind::Invalid,
                "the content's digest is " + actual.text() + ", not " + blob.digest.text());
}

}  // namespace

void DigestSink::check_room(size_t more) const {
  if (more > blob_.size - size_) throw longer(blob_);
}

void DigestSink::write(std::string_view bytes) {
  check_room(bytes.size());
  hasher_.update(bytes);
  size_ += bytes.size();
}

std::string DigestSink::write_piece(std::string piece) {
  check_room(piece.size());
  size_ += piece.size();
  return hasher_.update_later(std::move(piece));
}

void DigestSink::restart() {
  hasher_.finish();
  size_ = 0;
}

void DigestSink::commit() {
  check_digest(blob_, hasher_.finish());
}

void FileSink::write_at_end(std::string_view bytes) {
  check_room(bytes.size());  // what follows in the file may be another's
  write_all_at(fd_, bytes, static_cast<off_t>(offset_ + size()), "cannot write a blob");
}

void FileSink::write(std::string_view bytes) {
  write_at_end(bytes);
  DigestSink::write(bytes);
}

std::string FileSink::write_piece(std::string piece) {
  write_at_end(piece);
  return DigestSink::write_piece(std::move(piece));
}

void TextSink::write(std::string_view bytes) {
  if (bytes.size() > blob_.size - text.size()) throw longer(blob_);
  text += bytes;
}

void TextSink::commit() {
  Hasher hasher(blob_.digest.algorithm());
  hasher.update(text);
  check_digest(blob_, hasher.finish());
}

UniqueFd unnamed_file() {
  // Not in /tmp, which may be memory: blobs are large.
  std::error_code ignored;
  const fs::path folder = std::getenv("TMPDIR")                   ? fs::path(std::getenv("TMPDIR"))
                          : fs::is_directory("/var/tmp", ignored) ? fs::path("/var/tmp")
                                                                  : fs::temp_directory_path();
  std::string name = (folder / "kiln-blob-XXXXXX").string();
  UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) throw_errno("cannot make a temporary file in " + folder.string());
  ::unlink(name.c_str());
  return fd;
}

void copy_part(const FilePart& part, BlobSink& sink, const std::function<void(uint64_t)>& progress,
               const std::stop_token& stop) {
  std::string buffer;
  for (uint64_t done = 0; done < part.size;) {
    if (stop.stop_requested()) throw Error(ErrorKind::Cancelled, "the copy was cancelled");
    const size_t wanted = std::min<uint64_t>(kCopied, part.size - done);
    buffer.resize(wanted);
    const ssize_t n = ::pread(part.fd.get(), buffer.data(), wanted, static_cast<off_t>(part.offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read a blob");
    if (n == 0) throw Error(ErrorKind::Invalid, "the file of a blob ends too early");
    buffer.resize(static_cast<size_t>(n));
    done += buffer.size();
    if (done < part.size)
      buffer = sink.write_piece(std::move(buffer));
    else
      sink.write(buffer);
    if (progress) progress(done);
  }
  sink.commit();
}

}  // namespace kiln::registry
