#include "cli/log_file.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "cli/lines.h"
#include "cli/stored_run.h"

namespace kiln::cli {
namespace {

constexpr size_t kChunk = 256 << 10;

void add_logs(const executor::Journal& journal, const Dirs& dirs, const std::string& run,
              const std::string& prefix, std::vector<LogFile>& out) {
  std::error_code missing;
  for (const auto& attempt : fs::directory_iterator(dirs.runs() / run / "logs", missing)) {
    // "<task>.<attempt>", "<task>.<attempt>.cut-off-<n>"; no task has a dot in its name
    const std::string name = attempt.path().filename().string();
    const std::string task = name.substr(0, name.find('.'));
    for (const auto& entry : fs::directory_iterator(attempt.path(), missing))
      if (entry.path().extension() == ".log")
        out.push_back({prefix + task, entry.path().stem().string(), run, entry.path(),
                       attempt.last_write_time(missing)});
  }
  for (const auto& [label, child] : children_of(journal, run))
    add_logs(journal, dirs, child.id, prefix + label + "/", out);
}

}  // namespace

std::vector<LogFile> log_files(const executor::Journal& journal, const Dirs& dirs, const std::string& run) {
  std::vector<LogFile> out;
  add_logs(journal, dirs, run, "", out);
  // Steps of one attempt ran one after another: who wrote last came last.
  std::vector<std::pair<fs::file_time_type, size_t>> order;
  for (size_t i = 0; i < out.size(); ++i) {
    std::error_code gone;
    order.emplace_back(fs::last_write_time(out[i].path, gone), i);
  }
  std::ranges::sort(order, {}, [&](const auto& one) {
    const LogFile& log = out[one.second];
    return std::tuple(log.began, log.path.parent_path(), one.first, log.step);
  });
  std::vector<LogFile> sorted;
  for (const auto& [time, index] : order) sorted.push_back(std::move(out[index]));
  return sorted;
}

bool has_ended(const executor::Journal& journal, const LogFile& log, const std::vector<LogFile>& all) {
  const StoredRun run = load_run(journal, log.run);
  const std::string folder = log.path.parent_path().filename().string();
  bool ended = true;  // of an attempt that was cut off, or tried again
  for_each_task_run(run.plan, run.state, [&](size_t i, size_t k, const std::string& label) {
    if (i >= run.state.tasks.size()) return;
    const executor::TaskRunState& task = run.state.tasks[i].run(k);
    if (executor::attempt_folder(label, task.attempt) != folder || !run.plan.tasks[i].spec) return;
    ended = task.phase != executor::Phase::Running;
    // One step begins when the one before it has ended.
    bool later = false;
    for (const dag::Step& step : run.plan.tasks[i].spec->steps) {
      ended = ended ||
              (later && std::ranges::any_of(all, [&](const LogFile& other) {
                 return other.step == step.name.value && other.path.parent_path() == log.path.parent_path();
               }));
      later = later || step.name.value == log.step;
    }
  });
  return ended;
}

LogReader::LogReader(const fs::path& file)
    : file_(open_file(file, O_RDONLY)), times_(executor::times_file(file)) {}

void LogReader::skip_to_last(size_t lines) {
  struct stat st;
  if (::fstat(file_.get(), &st) != 0) return;
  auto at = static_cast<uint64_t>(st.st_size);
  if (lines == 0) offset_ = std::exchange(at, 0);
  std::string block(kChunk, '\0');
  size_t seen = 0;
  bool first = true;  // the line break at the very end begins no line
  while (at > 0) {
    const uint64_t from = at - std::min<uint64_t>(at, block.size());
    const ssize_t n = ::pread(file_.get(), block.data(), at - from, static_cast<off_t>(from));
    if (n <= 0) return;
    for (auto i = static_cast<size_t>(n); i > 0; --i) {
      const bool line_break = block[i - 1] == '\n';
      if (line_break && !first && ++seen == lines) {
        offset_ = from + i;
        return;
      }
      first = false;
    }
    at = from;
  }
}

void LogReader::read(const Visit& visit, bool to_end) {
  std::string buffer(kChunk, '\0');
  for (;;) {
    const ssize_t n =
        ::pread(file_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset_ + partial_.size()));
    if (n <= 0) break;
    for_each_line(partial_, {buffer.data(), static_cast<size_t>(n)}, [&](std::string_view line, bool broken) {
      visit({line, times_.at(offset_)});
      offset_ += line.size() + broken;
    });
  }
  if (!to_end || partial_.empty()) return;
  visit({partial_, times_.at(offset_)});
  offset_ += partial_.size();
  partial_.clear();
}

}  // namespace kiln::cli
