#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <poll.h>
#include <set>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/log_file.h"
#include "cli/stored_run.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "executor/run_lock.h"

namespace kiln::cli {
namespace {

struct LogsOptions {
  std::string run, task, step, stream = "all";
  std::optional<size_t> tail;
  bool follow = false, timestamps = false;
};

class Logs {
  using Readers = std::map<std::pair<dev_t, ino_t>, LogReader>;  // which file it is, whatever it is called

 public:
  Logs(const LogsOptions& options, executor::Journal& journal, const Dirs& dirs)
      : options_(options), journal_(journal), dirs_(dirs), run_(journal.find(options.run)) {}

  void print_all() {
    const std::vector<LogFile> files = wanted();
    if (files.empty()) check_names();
    for (const LogFile& file : files) {
      LogReader reader(file.path);
      if (options_.tail) reader.skip_to_last(*options_.tail);
      print(reader, file, true);
    }
  }

  // Until the run has ended, in whatever process it is.
  void follow(const Context& context) {
    const UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch) throw_errno("watch the logs of " + run_.id);
    // Not by path: a run that is carried on puts the log of what was cut off aside, and begins another.
    Readers readers;
    for (bool last = false; !last;) {
      // Asked first: what is written before the end is then there to be read.
      last = has_ended() || context.kill().stop_requested();
      const std::vector<LogFile> files = wanted();
      for (const LogFile& file : files) {
        LogReader* reader = reader_of(file, readers, watch.get());
        if (!reader) continue;
        // A line that nobody ends is one when its step has ended: before what comes then is read.
        const bool ended = last || (reader->has_partial() && cli::has_ended(journal_, file, files));
        print(*reader, file, ended);
      }
      wait(watch.get());
      if (!last) started_ = true;
    }
  }

 private:
  // nullptr: it was put aside just now, and is found again with the next look.
  LogReader* reader_of(const LogFile& file, Readers& readers, int watch) {
    struct stat st;
    if (::stat(file.path.c_str(), &st) != 0) return nullptr;
    const std::pair identity(st.st_dev, st.st_ino);
    auto found = readers.find(identity);
    if (found == readers.end()) {
      found = readers.emplace(identity, LogReader(file.path)).first;
      // Of what was there when we began only the tail is wanted.
      if (options_.tail && !started_) found->second.skip_to_last(*options_.tail);
      ::inotify_add_watch(watch, file.path.c_str(), IN_MODIFY);
    }
    return &found->second;
  }

  std::vector<LogFile> wanted() const {
    std::vector<LogFile> files = log_files(journal_, dirs_, run_.id);
    std::erase_if(files, [&](const LogFile& file) {
      return (!options_.task.empty() && !is_task(file.task)) ||
             (!options_.step.empty() && file.step != options_.step);
    });
    return files;
  }

  // "build" is also its combinations, "build-0"; "inner" also all that stands in it.
  bool is_task(const std::string& label) const {
    const std::string& task = options_.task;
    if (label == task || label.starts_with(task + "/")) return true;
    if (!label.starts_with(task + "-")) return false;
    const std::string_view rest = std::string_view(label).substr(task.size() + 1);
    return !rest.empty() && rest.find_first_not_of("0123456789") == std::string_view::npos;
  }

  void check_names() const {
    if (options_.task.empty() && options_.step.empty()) return;
    std::set<std::string> tasks;
    for (const LogFile& file : log_files(journal_, dirs_, run_.id)) tasks.insert(file.task);
    const dag::Plan plan = journal_.plan(run_.id);
    for (const dag::PlannedTask& task : plan.tasks) tasks.insert(task.name);
    if (tasks.contains(options_.task)) {
      if (!options_.step.empty())
        throw Error(ErrorKind::NotFound, "task " + options_.task + " of run " + run_.id +
                                             " has no log of a step " + options_.step);
      return;  // it has not started, or never will
    }
    const std::vector<std::string> names(tasks.begin(), tasks.end());
    const auto near = nearest(options_.task, names);
    throw Error(
        ErrorKind::NotFound, "run " + run_.id + " has no task " + options_.task,
        near ? "did you mean `" + *near + "`?" : "`kiln runs describe " + run_.id + "` lists its tasks");
  }

  void print(LogReader& reader, const LogFile& file, bool to_end) {
    const std::string prefix = "[" + file.task + " : " + file.step + "] ";
    std::string out;
    reader.read(
        [&](const LogReader::Line& line) {
          if (options_.stream != "all" && line.stamp &&
              line.stamp->is_stderr != (options_.stream == "stderr"))
            return;
          if (options_.timestamps)
            out += (line.stamp ? format_rfc3339_nano(line.stamp->at) : std::string("-")) + " ";
          out += prefix;
          out += line.text;
          out += '\n';
          if (out.size() < (256 << 10)) return;
          cli::print(out);
          out.clear();
        },
        to_end);
    if (!out.empty()) cli::print(out);
  }

  // A run whose kiln was killed gets its end from whoever looks first.
  bool has_ended() {
    close_lost_runs(journal_, dirs_);
    return journal_.find(run_.id).finished.has_value();
  }

  // For new output in the files we know; new files and the run's end are looked for a few times a second.
  static void wait(int watch) {
    pollfd ready{watch, POLLIN, 0};
    ::poll(&ready, 1, 200);
    char events[4096];
    while (::read(watch, events, sizeof events) > 0) {
    }
  }

  const LogsOptions& options_;
  executor::Journal& journal_;
  const Dirs& dirs_;
  executor::RunRecord run_;
  bool started_ = false;
};

}  // namespace

void add_logs(CLI::App& app, Context& context) {
  auto options = std::make_shared<LogsOptions>();
  CLI::App* verb = app.add_subcommand("logs",
                                      "Print the logs of a run\n\n"
                                      "  kiln logs                      of the last run\n"
                                      "  kiln logs -f                   as it goes on, to its end\n"
                                      "  kiln logs RUN -t test -s unit --tail 20 --timestamps\n");
  verb->add_option("run", options->run, "Run; default: the last");
  verb->add_option("-t,--task", options->task, "This task only: build, build-2 of a matrix, inner/build");
  verb->add_option("-s,--step", options->step, "This step only");
  verb->add_option("--tail", options->tail, "The last lines of each step only");
  verb->add_option("--stream", options->stream, "stdout or stderr only")
      ->check(CLI::IsMember({"stdout", "stderr", "all"}))
      ->capture_default_str();
  verb->add_flag("-f,--follow", options->follow, "Go on until the run has ended");
  verb->add_flag("--timestamps", options->timestamps, "When each line came, before it");
  verb->callback([options, &context] {
    executor::Journal journal(context.dirs().database());
    close_lost_runs(journal, context.dirs());
    Logs logs(*options, journal, context.dirs());
    if (options->follow)
      logs.follow(context);
    else
      logs.print_all();
  });
}

}  // namespace kiln::cli
