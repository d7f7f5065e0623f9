// Random plans, random outcomes, timeouts and cancels on a clock turned by hand. KILN_SEEDS sets how many.
#include <cstdlib>
#include <gtest/gtest.h>
#include <random>

#include "executor/scheduler.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using testing::plan_of;
using testing::task;

class Simulation {
 public:
  explicit Simulation(unsigned seed)
      : random_(seed), plan_(random_plan()), scheduler_(plan_, {1 + random_() % 4, {"r", "u", "default"}}) {}

  void run() {
    if (plan_.tasks.empty()) return;
    keep(scheduler_.advance(state_, {.kind = Event::Kind::RunStarted, .at = clock_.now()}, clock_.now()));
    size_t steps = 0;
    while (!state_.has_finished && !::testing::Test::HasFailure()) {
      ASSERT_LT(++steps, 10'000u) << "the run does not end";
      check();
      act();
    }
    check_end();
  }

 private:
  bool chance(unsigned percent) { return random_() % 100 < percent; }

  dag::Plan random_plan() {
    const unsigned n = 1 + random_() % 9;
    std::string text = "  tasks:\n";
    std::vector<bool> matrix;
    for (unsigned i = 0; i < n; ++i) {
      std::string head = "t" + std::to_string(i);
      std::string after, params;
      for (unsigned k = 0; k < i; ++k) {
        if (chance(25)) after += "t" + std::to_string(k) + ", ";
        if (chance(15))
          params += "{name: p" + std::to_string(k) + ", value: \"$(tasks.t" + std::to_string(k) +
                    ".results.r" + (matrix[k] ? "[*]" : "") + ")\"}, ";
      }
      matrix.push_back(chance(25));
      if (matrix[i]) head += ", matrix: {params: [{name: m, value: [x, y, z]}]}";
      if (!after.empty()) head += ", runAfter: [" + after + "]";
      if (!params.empty()) head += ", params: [" + params + "]";
      if (const unsigned k = i > 0 ? random_() % i : 0; i > 0 && !matrix[k] && chance(25))
        head +=
            ", when: [{input: $(tasks.t" + std::to_string(k) + ".results.r), operator: in, values: [\"1\"]}]";
      if (chance(20))
        head += ", retries: 2";
      else if (chance(20))
        head += ", onError: continue";
      if (chance(20)) head += ", timeout: 30s";
      text += task(head);
    }
    const unsigned finals = random_() % 3;
    if (finals > 0) text += "  finally:\n";
    for (unsigned i = 0; i < finals; ++i)
      text += task(
          "f" + std::to_string(i) +
          (chance(40) ? ", when: [{input: $(tasks.t0.status), operator: in, values: [Succeeded]}]" : ""));
    return plan_of(text, chance(30) ? "  timeouts: {pipeline: 5m, tasks: 3m}\n" : "");
  }

  // One thing happens to the run.
  void act() {
    if (chance(2)) {
      const char* modes[] = {"Cancelled", "CancelledRunFinally", "StoppedRunFinally"};
      return feed({.kind = Event::Kind::CancelRequested, .reason = modes[random_() % 3]});
    }
    if (chance(20)) {
      clock_.advance(std::chrono::seconds(random_() % 60));
      return keep(scheduler_.tick(state_, clock_.now()));
    }
    std::vector<TaskRunId> running;
    for (size_t i = 0; i < state_.tasks.size(); ++i)
      for (size_t k = 0; k < state_.tasks[i].run_count(); ++k)
        if (state_.tasks[i].run(k).phase == Phase::Running) running.push_back({i, k});
    ASSERT_FALSE(running.empty()) << "nothing runs and the run has not ended";
    const TaskRunId id = running[random_() % running.size()];
    const TaskRunState& ending = state_.tasks[id.task].run(id.run);
    Event event{.kind = Event::Kind::TaskFinished, .task = id.task, .run = id.run, .attempt = ending.attempt};
    event.outcome.succeeded = chance(75) && ending.stop_reason.empty();
    event.outcome.reason = event.outcome.succeeded ? "Succeeded" : "Failed";
    if (chance(80)) event.outcome.results["r"] = std::to_string(random_() % 2);
    feed(std::move(event));
  }

  void feed(Event event) {
    event.at = clock_.now();
    keep(scheduler_.advance(state_, std::move(event), clock_.now()));
  }

  void keep(std::vector<Event> events) {
    for (Event& event : events) {
      apply(plan_, replayed_, event);
      if (event.kind == Event::Kind::TaskStarted) {
        const dag::PlannedTask& started = plan_.tasks[event.task];
        for (const dag::Edge& edge : started.needs)
          EXPECT_TRUE(is_terminal(replayed_.tasks[edge.from].phase))
              << started.name << " started before " << plan_.tasks[edge.from].name;
        EXPECT_TRUE(!started.is_finally || replayed_.dag_left == 0) << "finally before the DAG has ended";
        EXPECT_FALSE(ended_[event.task]) << started.name << " started after its end";
      }
      if (event.task != Event::kNoTask && is_terminal(replayed_.tasks[event.task].phase))
        ended_[event.task] = true;
    }
  }

  void check() {
    EXPECT_TRUE(replayed_ == state_) << "the journal tells another story";
    size_t running = 0, dag = 0, last = 0;
    for (size_t i = 0; i < state_.tasks.size(); ++i) {
      (i < plan_.dag_size ? dag : last) += !is_terminal(state_.tasks[i].phase);
      bool all_ended = true;
      for (size_t k = 0; k < state_.tasks[i].run_count(); ++k) {
        const Phase phase = state_.tasks[i].run(k).phase;
        running += phase == Phase::Running;
        all_ended &= is_terminal(phase);
        EXPECT_EQ(phase == Phase::Ready, state_.ready.contains({i, k}));
      }
      EXPECT_EQ(all_ended, is_terminal(state_.tasks[i].phase)) << "a matrix ends with its last run";
    }
    EXPECT_EQ(running, state_.running);
    EXPECT_EQ(dag, state_.dag_left);
    EXPECT_EQ(last, state_.finally_left);
  }

  void check_end() {
    check();
    const Counts& c = state_.counts;
    EXPECT_EQ(c.succeeded + c.failed + c.ignored + c.cancelled + c.skipped, plan_.tasks.size())
        << "one end each";
    const bool all = state_.cancel != Cancel::Now && !state_.pipeline_timed_out;
    for (size_t i = plan_.dag_size; all && i < plan_.tasks.size(); ++i)
      EXPECT_TRUE(state_.tasks[i].phase != Phase::Skipped || state_.tasks[i].reason == skip::kWhen ||
                  state_.finally_timed_out)
          << "finally always runs: " << state_.tasks[i].reason;
    if (c.failed > 0) {
      EXPECT_FALSE(state_.succeeded());
    }
    EXPECT_FALSE(scheduler_.next_deadline(state_));
    EXPECT_TRUE(scheduler_.tick(state_, clock_.now() + 100h).empty()) << "an ended run stays as it is";
  }

  std::mt19937 random_;
  dag::Plan plan_;
  Scheduler scheduler_;
  State state_, replayed_;
  std::map<size_t, bool> ended_;
  ManualClock clock_{Time(1000s)};
};

TEST(Simulation, InvariantsHoldWhateverHappens) {
  const char* given = std::getenv("KILN_SEEDS");
  const unsigned seeds = given ? static_cast<unsigned>(std::atoi(given)) : 2'000;
  for (unsigned seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Simulation(seed).run();
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace kiln::executor
