#include "executor/step_times.h"

#include <array>
#include <bit>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::executor {
namespace {

constexpr std::string_view kHeader = "kiln log times 1";
constexpr uint64_t kRecord = 16;
constexpr Duration kTogether = std::chrono::milliseconds(1);
static_assert(kHeader.size() == kRecord && std::endian::native == std::endian::little);

}  // namespace

fs::path times_file(fs::path log) {
  return log.replace_extension(".times");
}

LogTimesWriter::LogTimesWriter(const fs::path& file)
    : file_(open_file(file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600)) {
  write_all(file_.get(), kHeader, file.string());
}

void LogTimesWriter::note(uint64_t offset, bool is_stderr, Time now) {
  if (last_ && last_->is_stderr == is_stderr && now >= last_->at && now - last_->at < kTogether) return;
  last_ = LogTime{offset, is_stderr, now};
  const std::array<uint64_t, 2> record{offset << 1 | (is_stderr ? 1 : 0),
                                       static_cast<uint64_t>(now.time_since_epoch().count())};
  write_all(file_.get(), {reinterpret_cast<const char*>(record.data()), kRecord}, "times of a log");
}

LogTimesReader::LogTimesReader(const fs::path& file) {
  try {
    file_ = open_file(file, O_RDONLY);
    std::array<char, kRecord> header{};
    if (::pread(file_.get(), header.data(), kRecord, 0) != static_cast<ssize_t>(kRecord) ||
        std::string_view(header.data(), kRecord) != kHeader)
      file_.reset();
  } catch (const Error&) {  // a log without times
  }
}

uint64_t LogTimesReader::count() const {
  struct stat st;
  if (!file_ || ::fstat(file_.get(), &st) != 0) return 0;
  return static_cast<uint64_t>(st.st_size) / kRecord - 1;  // what is torn at the end does not count
}

std::optional<LogTime> LogTimesReader::record(uint64_t index) const {
  std::array<uint64_t, 2> raw;
  if (!file_ || ::pread(file_.get(), raw.data(), kRecord, static_cast<off_t>((index + 1) * kRecord)) !=
                    static_cast<ssize_t>(kRecord))
    return std::nullopt;
  return LogTime{raw[0] >> 1, (raw[0] & 1) != 0, Time(Duration(static_cast<int64_t>(raw[1])))};
}

std::optional<LogTime> LogTimesReader::at(uint64_t offset) {
  if (!current_ || offset < current_->offset) {
    uint64_t low = 0, high = count();  // the first record behind `offset`
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      const auto found = record(middle);
      if (!found || found->offset > offset)
        high = middle;
      else
        low = middle + 1;
    }
    if (low == 0) return std::nullopt;
    index_ = low - 1;
    current_ = record(index_);
    next_.reset();
  }
  for (;;) {
    if (!next_) next_ = record(index_ + 1);
    if (!next_ || next_->offset > offset) return current_;
    current_ = next_;
    next_.reset();
    ++index_;
  }
}

}  // namespace kiln::executor
