#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/unique_fd.h"
#include "registry/background_hasher.h"
#include "registry/image.h"

namespace kiln::registry {

// Where one blob's bytes go. Nothing of it is visible before commit(); without, it never was there. Not
// thread-safe.
class BlobSink {
 public:
  virtual ~BlobSink() = default;
  virtual void write(std::string_view bytes) = 0;
  // As write(), of a piece that is the sink's from now on, so that it may be hashed beside what comes next.
  // Returns an empty piece to fill next, with the room of an earlier one.
  virtual std::string write_piece(std::string piece) {
    write(piece);
    piece.clear();
    return piece;
  }
  virtual uint64_t size() const = 0;  // written so far
  virtual void restart() = 0;         // from the first byte
  // Throws Invalid when the bytes are not those of the blob's digest.
  virtual void commit() = 0;
};

// Bytes that lie in a file.
struct FilePart {
  UniqueFd fd;
  uint64_t offset = 0, size = 0;
};

// Into memory: documents.
class TextSink : public BlobSink {
 public:
  explicit TextSink(const Descriptor& blob) : blob_(blob) {}
  void write(std::string_view bytes) override;
  uint64_t size() const override { return text.size(); }
  void restart() override { text.clear(); }
  void commit() override;

  std::string text;

 private:
  const Descriptor blob_;
};

// To nowhere: commit() says whether the bytes are the blob's.
class DigestSink : public BlobSink {
 public:
  explicit DigestSink(const Descriptor& blob) : blob_(blob), hasher_(blob.digest.algorithm()) {}
  void write(std::string_view bytes) override;
  std::string write_piece(std::string piece) override;
  uint64_t size() const override { return size_; }
  void restart() override;
  void commit() override;

 protected:
  void check_room(size_t more) const;  // throws Invalid when the blob has no such bytes

  const Descriptor blob_;

 private:
  BackgroundHasher hasher_;
  uint64_t size_ = 0;
};

// Into a part of a file that has been set aside for it: `size` bytes at `offset`.
class FileSink : public DigestSink {
 public:
  // The file is borrowed.
  FileSink(int fd, uint64_t offset, const Descriptor& blob) : DigestSink(blob), fd_(fd), offset_(offset) {}
  void write(std::string_view bytes) override;
  std::string write_piece(std::string piece) override;

 private:
  void write_at_end(std::string_view bytes);

  const int fd_;
  const uint64_t offset_;
};

// A file without a name, gone with its last descriptor.
UniqueFd unnamed_file();

// Copies a part's bytes to the sink and commits. Throws Invalid when they are not the blob's, Cancelled.
void copy_part(const FilePart& part, BlobSink& sink, const std::function<void(uint64_t)>& progress = {},
               const std::stop_token& stop = {});

}  // namespace kiln::registry
