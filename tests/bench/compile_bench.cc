// Time and memory from text to Plan:
//
//   compile_bench SHAPE TASKS RUNS        SHAPE: chain, fan or random; "-" as RUNS prints the text instead
//   compile_bench lint RUNS FILE…         all of the files, each by itself
//
// Prints median milliseconds of load + compile (or lint), those of yaml-cpp reading the same text and
// throwing its events away, and the peak of memory in MB after the first run. Not a test.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <vector>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/parser.h>

#include "base/fs.h"
#include "dag/compile.h"
#include "tests/bench/timing.h"

namespace {

using namespace kiln;
using bench::median;
using bench::milliseconds;

double peak_megabytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// Tasks as people write them: a step with a script, a param, and a result that the next one reads.
std::string pipeline(const std::string& shape, size_t tasks) {
  std::mt19937 random(1);
  std::string out = "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata:\n  name: bench\nspec:\n  tasks:\n";
  for (size_t i = 0; i < tasks; ++i) {
    std::vector<size_t> after;
    if (i > 0 && shape == "chain") after = {i - 1};
    if (i > 0 && shape == "fan") after = {0};
    if (i > 0 && shape == "random")
      for (int k = 0; k < 3; ++k) after.push_back(random() % i);
    std::ranges::sort(after);
    after.erase(std::unique(after.begin(), after.end()), after.end());
    out += "  - name: task-" + std::to_string(i) + "\n";
    if (!after.empty()) {
      out += "    runAfter:\n";
      for (const size_t from : after) out += "    - task-" + std::to_string(from) + "\n";
      out += "    params:\n    - name: input\n      value: $(tasks.task-" + std::to_string(after.back()) +
             ".results.output)\n";
    }
    out +=
        "    taskSpec:\n      params:\n      - name: input\n        default: none\n"
        "      results:\n      - name: output\n      steps:\n      - name: work\n"
        "        image: alpine:3.20\n        script: |\n          set -eu\n"
        "          echo $(params.input) > $(results.output.path)\n";
  }
  return out;
}

class Nothing final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}
};

void events_only(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Nothing nothing;
  while (parser.HandleNextDocument(nothing)) {
  }
}

void fail(const std::string& rendered) {
  std::fprintf(stderr, "compile_bench: %s\n", rendered.c_str());
  std::exit(1);
}

void compile_text(const std::string& text, size_t tasks) {
  dag::Documents documents;
  Diagnostics diagnostics;
  dag::load(documents, "bench.yaml", text, diagnostics);
  dag::StoredResolver nothing;
  const dag::Compiled compiled = dag::compile(documents, {}, nothing, std::move(diagnostics));
  if (!compiled.plan) fail(dag::render(compiled.diagnostics, documents.sources));
  if (compiled.plan->tasks.size() != tasks) fail("a task is missing");
}

void lint_text(const std::string& name, const std::string& text) {
  dag::Documents documents;
  Diagnostics diagnostics;
  dag::load(documents, name, text, diagnostics);
  dag::StoredResolver nothing;
  (void)dag::lint(documents, nothing, std::move(diagnostics));
}

// Ours, then the floor, taking turns.
template <class Ours, class Floor>
void measure(int runs, const Ours& ours, const Floor& floor) {
  ours();
  const double peak = peak_megabytes();
  std::vector<double> our_times, floor_times;
  for (int i = 0; i < runs; ++i) {
    our_times.push_back(milliseconds(ours));
    floor_times.push_back(milliseconds(floor));
  }
  std::printf("%.3f\t%.3f\t%.1f\n", median(our_times), median(floor_times), peak);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 3) {
    std::fprintf(
        stderr, "usage: compile_bench chain|fan|random TASKS RUNS\n       compile_bench lint RUNS FILE...\n");
    return 2;
  }
  if (words[0] == "lint") {
    std::vector<std::pair<std::string, std::string>> files;
    for (size_t i = 2; i < words.size(); ++i) files.emplace_back(words[i], read_file(words[i]));
    measure(
        std::atoi(words[1].c_str()),
        [&] {
          for (const auto& [name, text] : files) lint_text(name, text);
        },
        [&] {
          for (const auto& [name, text] : files) events_only(text);
        });
    return 0;
  }
  const auto tasks = static_cast<size_t>(std::atoi(words[1].c_str()));
  const std::string text = pipeline(words[0], tasks);
  if (words[2] == "-") {
    std::fputs(text.c_str(), stdout);
    return 0;
  }
  measure(
      std::atoi(words[2].c_str()), [&] { compile_text(text, tasks); }, [&] { events_only(text); });
  return 0;
}
