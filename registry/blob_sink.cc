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

[[noreturn]] void throw_longer(const Descriptor& blob) {
  throw Error(ErrorKind::Invalid, "blob " + blob.digest.short_text() + " has more than the " +
                                      format_bytes(blob.size) + " that its manifest says");
}

void check_digest(const Descriptor& blob, const Digest& actual) {
  if (actual != blob.digest)
    throw Error(ErrorKind::Invalid,
                "the content's digest is " + actual.text() + ", not " + blob.digest.text());
}

}  // namespace

void DigestSink::write(std::string_view bytes) {
  if (bytes.size() > blob_.size - size_) throw_longer(blob_);
  hasher_.update(bytes);
  size_ += bytes.size();
}

void DigestSink::restart() {
  hasher_ = Hasher(blob_.digest.algorithm());
  size_ = 0;
}

void DigestSink::commit() {
  check_digest(blob_, hasher_.finish());
}

void FileSink::write(std::string_view bytes) {
  const uint64_t at = offset_ + size();
  DigestSink::write(bytes);  // first: what follows in the file may be another's
  write_all_at(fd_, bytes, static_cast<off_t>(at), "cannot write a blob");
}

void TextSink::write(std::string_view bytes) {
  if (bytes.size() > blob_.size - text.size()) throw_longer(blob_);
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
  std::string buffer(std::min<uint64_t>(1u << 20, part.size), '\0');
  for (uint64_t done = 0; done < part.size;) {
    if (stop.stop_requested()) throw Error(ErrorKind::Cancelled, "the copy was cancelled");
    const size_t wanted = std::min<uint64_t>(buffer.size(), part.size - done);
    const ssize_t n = ::pread(part.fd.get(), buffer.data(), wanted, static_cast<off_t>(part.offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read a blob");
    if (n == 0) throw Error(ErrorKind::Invalid, "the file of a blob ends too early");
    sink.write({buffer.data(), static_cast<size_t>(n)});
    done += static_cast<uint64_t>(n);
    if (progress) progress(done);
  }
  sink.commit();
}

}  // namespace kiln::registry
