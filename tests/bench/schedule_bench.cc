// What it costs to decide, without pods and without a journal:
//
//   compile_bench SHAPE TASKS - | schedule_bench RUNS
//
// Prints median milliseconds from RunStarted to RunFinished when every task succeeds at once, and the bytes
// of memory that a task takes which waits for its turn. Not a test.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <iterator>
#include <malloc.h>

#include "dag/compile.h"
#include "executor/scheduler.h"
#include "tests/bench/timing.h"

namespace {

using namespace kiln;

// All but the first few tasks wait.
double bytes_per_waiting_task(const dag::Plan& plan) {
  const executor::Scheduler scheduler(plan, {8, {"bench-x", "uid", "default"}});
  executor::State state;
  const auto in_use = [] { return ::mallinfo2().uordblks + ::mallinfo2().hblkhd; };
  const size_t before = in_use();
  (void)scheduler.advance(state, {.kind = executor::Event::Kind::RunStarted}, {});
  return static_cast<double>(in_use() - before) / static_cast<double>(plan.tasks.size());
}

double schedule(const dag::Plan& plan) {
  const executor::Scheduler scheduler(plan, {8, {"bench-x", "uid", "default"}});
  executor::State state;
  std::deque<executor::Event> finished;
  const Time now{};
  const auto keep = [&](const std::vector<executor::Event>& events) {
    for (const executor::Event& event : events)
      if (event.kind == executor::Event::Kind::TaskStarted) {
        executor::Event& end = finished.emplace_back(event);
        end.kind = executor::Event::Kind::TaskFinished;
        end.outcome.succeeded = true;
        end.outcome.reason = "Succeeded";
        end.outcome.results["output"] = "x";
      }
  };
  const double took = bench::milliseconds([&] {
    keep(scheduler.advance(state, {.kind = executor::Event::Kind::RunStarted}, now));
    while (!finished.empty()) {
      executor::Event event = std::move(finished.front());
      finished.pop_front();
      keep(scheduler.advance(state, std::move(event), now));
    }
  });
  if (!state.succeeded()) {
    std::fprintf(stderr, "schedule_bench: %s\n", state.message.c_str());
    std::exit(1);
  }
  return took;
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  dag::Documents documents;
  Diagnostics diagnostics;
  dag::load(documents, "bench.yaml", std::string(std::istreambuf_iterator<char>(std::cin), {}), diagnostics);
  dag::StoredResolver nothing;
  const dag::Compiled compiled = dag::compile(documents, {}, nothing, std::move(diagnostics));
  if (!compiled.plan) {
    std::fputs(dag::render(compiled.diagnostics, documents.sources).c_str(), stderr);
    return 1;
  }
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) times.push_back(schedule(*compiled.plan));
  std::printf("%.3f\t%.0f\n", bench::median(times), bytes_per_waiting_task(*compiled.plan));
  return 0;
}
