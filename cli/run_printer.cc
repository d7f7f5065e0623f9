#include "cli/run_printer.h"

#include "base/error.h"
#include "cli/json_printer.h"
#include "cli/live_printer.h"
#include "cli/plain_printer.h"
#include "cli/terminal.h"

namespace kiln::cli {
namespace {

class QuietPrinter final : public RunPrinter {
 public:
  void note(const std::string&) override {}

 protected:
  void output(const executor::RunningTask&, const steps::StepSpec&, bool, std::string_view) override {}
};

int count_cached(std::string_view bytes) {
  int count = 0;
  while (!bytes.empty()) {
    const size_t end = std::min(bytes.find('\n'), bytes.size() - 1) + 1;
    const std::string_view line = bytes.substr(0, end);
    if (line.find("CACHED") != std::string_view::npos || line.find("reused") != std::string_view::npos)
      ++count;
    bytes.remove_prefix(end);
  }
  return count;
}

}  // namespace

void RunPrinter::run_waits(const executor::RunRecord& run, std::string_view other) {
  note("waits for " + (other.empty() ? "another run" : "run " + std::string(other)) +
       " of concurrency group \"" + run.group + "\"");
}

void RunPrinter::step_output(const executor::RunningTask& task, const steps::StepSpec& step, bool is_stderr,
                             std::string_view bytes) {
  if (step.image == "kiln")
    if (const int count = count_cached(bytes)) cached_[task.label] += count;
  output(task, step, is_stderr, bytes);
}

std::unique_ptr<RunPrinter> make_run_printer(const std::string& progress) {
  if (progress == "tty" || (progress == "auto" && can_redraw())) return std::make_unique<LivePrinter>();
  if (progress == "plain" || progress == "auto") return std::make_unique<PlainPrinter>();
  if (progress == "json") return std::make_unique<JsonPrinter>();
  if (progress == "quiet") return std::make_unique<QuietPrinter>();
  throw Error(ErrorKind::Usage, "there is no progress \"" + progress + "\"",
              "--progress auto, tty, plain, json or quiet");
}

}  // namespace kiln::cli
