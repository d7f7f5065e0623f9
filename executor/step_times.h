#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace kiln::executor {

// When which bytes of a step's log came, and from which stream: `<step>.times` beside `<step>.log`. After a
// header of 16 bytes ("kiln log times 1"), a record of 16 bytes each, little-endian: the offset in the log,
// doubled, plus 1 for stderr; the time in nanoseconds since 1970. It says so of the bytes from there to the
// next record's. A record is written before its bytes: after a crash it may be torn or speak of bytes that
// are not there, and is then ignored, but no byte is without its record.
struct LogTime {
  uint64_t offset = 0;
  bool is_stderr = false;
  Time at{};
};

// `<step>.times` of `<step>.log`.
std::filesystem::path times_file(std::filesystem::path log);

// Writes it. Bytes of the same stream that come within a millisecond share a record.
class LogTimesWriter {
 public:
  explicit LogTimesWriter(const std::filesystem::path& file);
  // The bytes from `offset` of the log on come now. Throws Infrastructure (disk full).
  void note(uint64_t offset, bool is_stderr, Time now);

 private:
  UniqueFd file_;
  std::optional<LogTime> last_;
};

// Reads it, also while it grows. A log without such a file (of an older kiln) has no times.
class LogTimesReader {
 public:
  explicit LogTimesReader(const std::filesystem::path& file);
  // Of the byte at `offset`; nullopt when nothing is known of it. Cheapest for offsets that ascend.
  std::optional<LogTime> at(uint64_t offset);

 private:
  std::optional<LogTime> record(uint64_t index) const;
  uint64_t count() const;

  UniqueFd file_;
  uint64_t index_ = 0;  // of current_
  std::optional<LogTime> current_, next_;
};

}  // namespace kiln::executor
