#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Inside of registry/server_uploads: what must be known of an upload to carry it on in another process. It
// lies beside the upload's bytes, uploads/ID.session, as JSON.
namespace kiln::registry::detail {

inline constexpr const char* kRecord = ".session";
inline constexpr uint64_t kRecordLimit = 4096;

struct UploadRecord {
  std::string repository;
  std::string algorithm;  // of the digest that is being made: sha256, sha512
  uint64_t flushed = 0;   // so many bytes were on disk when this was written
  std::string boot;       // the start of the machine they were written in

  std::string text() const;
  // nullopt for what is torn or was not written by Kiln. The repository's name is a valid one.
  static std::optional<UploadRecord> parse(std::string_view text);

  // How many bytes of a file of `size` bytes are what the client sent: all that the kernel has while the
  // machine has not been started anew, else what was flushed.
  uint64_t trusted(uint64_t size) const;
};

}  // namespace kiln::registry::detail
