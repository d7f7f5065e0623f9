// Random plans, outcomes, timeouts, cancels, clock jumps and crashes on a clock turned by hand, beside a
// naive scheduler that has to agree.
//
//   KILN_SEEDS=100000 test_executor --gtest_filter='Simulation.*'    more of them
//   KILN_SEED=17 …                                                   one alone, with its plan and journal
#include <cstdlib>
#include <deque>
#include <gtest/gtest.h>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "executor/scheduler.h"
#include "tests/unit/executor/random_plan.h"
#include "tests/unit/executor/reference.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using testing::describe_state;
using testing::plan_of;

// A run as LiveRun carries it on, with pods that end when chance says so, and a kiln that dies when it says
// so.
class Simulation {
 public:
  explicit Simulation(unsigned seed)
      : random_(seed),
        drawn_(testing::random_plan(random_)),
        plan_(plan_of(drawn_.spec, drawn_.run_spec, drawn_.annotations)),
        jobs_(1 + random_() % 4),
        scheduler_(plan_, {jobs_, {"r", "u", "default"}}),
        reference_(drawn_, plan_, jobs_) {}

  void run() {
    if (plan_.tasks.size() != drawn_.tasks.size()) return;
    boot();
    size_t steps = 0;
    while (!(state_.has_finished && !crashed_) && !::testing::Test::HasFailure()) {
      ASSERT_LT(++steps, 10'000u) << "the run does not end";
      if (crashed_)
        boot();
      else
        step();
      if (!crashed_) check();
    }
    if (!::testing::Test::HasFailure()) check_end();
  }

  void print() const {
    std::cout << drawn_.spec << drawn_.run_spec << drawn_.annotations << "\njobs " << jobs_ << "\n";
    for (const Event& event : journal_) std::cout << to_json(event, plan_).dump() << "\n";
  }

 private:
  struct Pod {
    int attempt = 0;
    bool told_to_end = false;
  };

  bool chance(unsigned percent) { return random_() % 100 < percent; }

  // A kiln starts: what there is, is in the journal.
  void boot() {
    crashed_ = false;
    pods_.clear();
    inbox_.clear();
    state_ = {};
    for (const Event& event : journal_) apply(plan_, state_, event);
    EXPECT_TRUE(state_ == replayed_) << "the journal tells another story";
    if (state_.has_finished) return;
    const Time now = clock_.now();
    if (!state_.has_started)
      return commit(scheduler_.advance(state_, {.kind = Event::Kind::RunStarted, .at = now}, now),
                    [&] { reference_.begin(now); });
    const std::vector<TaskRunId> cut_off = running_task_runs(state_);
    commit(scheduler_.tick(state_, now), [&] { reference_.tick(now); });
    for (const TaskRunId id : cut_off) {
      if (crashed_) return;
      const TaskRunState& run = state_.tasks[id.task].run(id.run);
      if (run.stop_reason.empty())
        start_pod(id, run.attempt);
      else
        inbox_.push_back(
            {.kind = Event::Kind::TaskFinished, .task = id.task, .run = id.run, .attempt = run.attempt});
    }
  }

  // One thing happens to the run.
  void step() {
    const Time now = clock_.now();
    if (chance(2)) {
      static constexpr std::pair<const char*, Cancel> kModes[] = {
          {"Cancelled", Cancel::Now},
          {"CancelledRunFinally", Cancel::RunFinally},
          {"StoppedRunFinally", Cancel::StopRunFinally}};
      const auto& [name, mode] = kModes[random_() % 3];
      return feed({.kind = Event::Kind::CancelRequested, .reason = name},
                  [&, mode = mode] { reference_.cancel(mode, now); });
    }
    if (chance(2)) return clock_.advance(-std::chrono::seconds(random_() % 100));  // somebody sets it back
    if (chance(20)) {
      clock_.advance(std::chrono::seconds(chance(5) ? random_() % 1000 : random_() % 60));
      return commit(scheduler_.tick(state_, clock_.now()), [&] { reference_.tick(clock_.now()); });
    }
    if (!inbox_.empty()) return take_event();
    ASSERT_FALSE(pods_.empty()) << "nothing runs and the run has not ended";
    end_a_pod();
  }

  void end_a_pod() {
    auto ending = pods_.begin();
    std::advance(ending, random_() % pods_.size());
    const auto [id, pod] = *ending;
    Event event{.kind = Event::Kind::TaskFinished, .task = id.task, .run = id.run, .attempt = pod.attempt};
    event.outcome.succeeded = chance(pod.told_to_end ? 10 : 75);
    event.outcome.reason = event.outcome.succeeded ? "Succeeded" : "Failed";
    if (chance(80)) event.outcome.results["r"] = std::to_string(random_() % 2);
    pods_.erase(ending);
    inbox_.push_back(std::move(event));
  }

  void take_event() {
    Event event = std::move(inbox_.front());
    inbox_.pop_front();
    const TaskRunId id{event.task, event.run};
    const bool succeeded = event.outcome.succeeded;
    std::optional<std::string> result;
    if (event.outcome.results.contains("r")) result = event.outcome.results["r"];
    feed(std::move(event), [&, now = clock_.now()] { reference_.finished(id, succeeded, result, now); });
  }

  template <class Tell>
  void feed(Event event, Tell tell) {
    event.at = clock_.now();
    commit(scheduler_.advance(state_, std::move(event), clock_.now()), tell);
  }

  // Journal, then act; kiln may die before, between and after.
  template <class Tell>
  void commit(const std::vector<Event>& events, Tell tell_reference) {
    if (dies()) return;
    for (const Event& event : events) {
      apply(plan_, replayed_, event);
      check_event(event);
    }
    journal_.insert(journal_.end(), events.begin(), events.end());
    tell_reference();
    for (const Event& event : events) {
      if (dies()) return;
      const TaskRunId id{event.task, event.run};
      if (event.kind == Event::Kind::TaskStarted) start_pod(id, event.attempt);
      if (const auto pod = pods_.find(id); event.kind == Event::Kind::TaskStopped && pod != pods_.end())
        pod->second.told_to_end = true;
    }
  }

  bool dies() {
    crashed_ = crashed_ || chance(1);
    return crashed_;
  }

  void start_pod(TaskRunId id, int attempt) {
    EXPECT_FALSE(pods_.contains(id)) << "started twice";
    EXPECT_FALSE(finished_.contains({id, attempt})) << "what has ended runs again";
    pods_[id] = {attempt};
  }

  void check_event(const Event& event) {
    if (event.kind == Event::Kind::TaskStarted) {
      const dag::PlannedTask& started = plan_.tasks[event.task];
      for (const dag::Edge& edge : started.needs)
        EXPECT_TRUE(is_terminal(replayed_.tasks[edge.from].phase))
            << started.name << " started before " << plan_.tasks[edge.from].name;
      EXPECT_TRUE(!started.is_finally || replayed_.dag_left == 0) << "finally before the DAG has ended";
      EXPECT_FALSE(ended_.contains(event.task)) << started.name << " started after its end";
    }
    if (event.kind == Event::Kind::TaskFinished) {
      EXPECT_TRUE(finished_.insert({{event.task, event.run}, event.attempt}).second) << "one end each";
    }
    if (event.task != Event::kNoTask && is_terminal(replayed_.tasks[event.task].phase))
      ended_.insert(event.task);
  }

  void check() {
    EXPECT_TRUE(replayed_ == state_) << "the journal tells another story";
    EXPECT_EQ(describe_state(plan_, state_), reference_.describe());
    std::set<TaskRunId> alive;
    for (const auto& [id, pod] : pods_) {
      alive.insert(id);
      EXPECT_EQ(pod.told_to_end, !state_.tasks[id.task].run(id.run).stop_reason.empty());
    }
    for (const Event& event : inbox_) alive.insert({event.task, event.run});
    const std::vector<TaskRunId> running = running_task_runs(state_);
    EXPECT_TRUE(std::ranges::equal(running, alive)) << "an action was lost";
    EXPECT_EQ(running.size(), state_.running);
    EXPECT_LE(running.size(), jobs_);
    check_counters();
  }

  void check_counters() {
    size_t dag = 0, last = 0;
    for (size_t i = 0; i < state_.tasks.size(); ++i) {
      (i < plan_.dag_size ? dag : last) += !is_terminal(state_.tasks[i].phase);
      for (size_t k = 0; k < state_.tasks[i].run_count(); ++k)
        EXPECT_EQ(state_.tasks[i].run(k).phase == Phase::Ready, state_.ready.contains({i, k}));
    }
    EXPECT_EQ(dag, state_.dag_left);
    EXPECT_EQ(last, state_.finally_left);
  }

  void check_end() {
    const Counts& c = state_.counts;
    EXPECT_EQ(c.succeeded + c.failed + c.ignored + c.cancelled + c.skipped + c.invalid, plan_.tasks.size())
        << "one end each";
    const bool all = !state_.is_broken() && state_.cancel != Cancel::Now && !state_.pipeline_timed_out &&
                     !state_.finally_timed_out;
    for (size_t i = plan_.dag_size; all && i < plan_.tasks.size(); ++i)
      EXPECT_TRUE(state_.tasks[i].phase != Phase::Skipped || state_.tasks[i].reason == skip::kWhen ||
                  state_.tasks[i].reason == skip::kMissingResults)
          << "finally always runs: " << state_.tasks[i].reason;
    if (c.failed + c.invalid > 0) {
      EXPECT_FALSE(state_.succeeded());
    }
    EXPECT_FALSE(scheduler_.next_deadline(state_));
    EXPECT_TRUE(scheduler_.tick(state_, clock_.now() + 100h).empty()) << "an ended run stays as it is";
  }

  std::mt19937 random_;
  testing::RandomPlan drawn_;
  dag::Plan plan_;
  size_t jobs_;
  Scheduler scheduler_;
  testing::Reference reference_;
  ManualClock clock_{Time(1'000'000s)};
  std::vector<Event> journal_;  // what survives
  State replayed_;
  std::set<size_t> ended_;
  std::set<std::pair<TaskRunId, int>> finished_;
  State state_;  // what a crash takes along
  std::map<TaskRunId, Pod> pods_;
  std::deque<Event> inbox_;
  bool crashed_ = false;
};

unsigned from_environment(const char* name, unsigned otherwise) {
  const char* given = std::getenv(name);
  return given ? static_cast<unsigned>(std::atoi(given)) : otherwise;
}

TEST(Simulation, NothingIsLostOrDoubledAndTheNaiveSchedulerAgrees) {
  const bool alone = std::getenv("KILN_SEED") != nullptr;
  const unsigned first = from_environment("KILN_SEED", 0);
  const unsigned seeds = alone ? 1 : from_environment("KILN_SEEDS", 2'000);
  for (unsigned seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed) + "; alone: KILN_SEED=" + std::to_string(seed));
    Simulation simulation(seed);
    simulation.run();
    if (alone) simulation.print();
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace kiln::executor
