#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "executor/driver.h"
#include "executor/step_times.h"

namespace kiln::cli {

// The log of one step of one attempt, of a run or of a pipeline inside it.
struct LogFile {
  std::string task;  // as in a run's output: "inner/build-2"
  std::string step;
  std::string run;  // that it is of: inside the run that was asked for, maybe
  std::filesystem::path path;
  std::filesystem::file_time_type began;  // its attempt
};

// All logs that a run has by now, in the order in which they began. From the disk alone: also of a run that
// this kiln cannot read any more.
std::vector<LogFile> log_files(const executor::Journal& journal, const Dirs& dirs, const std::string& run);

// Whether nothing more is written to it: its step or its TaskRun has ended. `all` are its run's log_files().
bool has_ended(const executor::Journal& journal, const LogFile& log, const std::vector<LogFile>& all);

// Reads a log line by line, in little memory however long it is, and on from there when it has grown.
class LogReader {
 public:
  struct Line {
    std::string_view text;                   // without its line break
    std::optional<executor::LogTime> stamp;  // of its first byte
  };
  using Visit = std::function<void(const Line&)>;

  explicit LogReader(const std::filesystem::path& file);
  // Begins `lines` before the end, instead of at the beginning.
  void skip_to_last(size_t lines);
  // Complete lines that are there and were not visited; with `to_end` also the one that is not complete.
  void read(const Visit& visit, bool to_end);
  // Whether a line has begun and is not complete.
  bool has_partial() const { return !partial_.empty(); }

 private:
  UniqueFd file_;
  executor::LogTimesReader times_;
  uint64_t offset_ = 0;  // of what is in partial_
  std::string partial_;
};

}  // namespace kiln::cli
