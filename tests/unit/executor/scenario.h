#pragma once

#include <chrono>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "executor/scheduler.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor::testing {

// A run driven by hand on a clock turned by hand.
class Scenario {
 public:
  explicit Scenario(dag::Plan plan, size_t jobs = 8)
      : plan_(std::move(plan)), scheduler_(plan_, {jobs, {"r-1", "uid", "default"}}) {
    feed({.kind = Event::Kind::RunStarted});
  }

  Scenario& finish(std::string_view name, bool succeeded = true,
                   std::map<std::string, std::string> results = {}) {
    const size_t i = index_of(plan_, name);
    Event event{.kind = Event::Kind::TaskFinished, .task = i, .attempt = state.tasks[i].attempt};
    event.outcome = {succeeded, false, succeeded ? "Succeeded" : "Failed", "", {}, std::move(results)};
    return feed(std::move(event));
  }
  Scenario& cancel(std::string mode) {
    return feed({.kind = Event::Kind::CancelRequested, .reason = std::move(mode)});
  }
  Scenario& advance(Duration by) {
    clock.advance(by);
    return keep(scheduler_.tick(state, clock.now()));
  }
  Scenario& feed(Event event) {
    event.at = clock.now();
    return keep(scheduler_.advance(state, std::move(event), clock.now()));
  }

  std::string running() const {
    return names([](const TaskState& t) { return t.phase == Phase::Running; });
  }
  std::string skipped() const {
    std::string out;
    for (size_t i = 0; i < plan_.tasks.size(); ++i)
      if (state.tasks[i].phase == Phase::Skipped)
        out += (out.empty() ? "" : "; ") + plan_.tasks[i].name + ": " + state.tasks[i].reason;
    return out;
  }
  std::string stopped() const {
    return names([](const TaskState& t) { return t.phase == Phase::Running && !t.stop_reason.empty(); });
  }
  std::string end() const {
    return state.has_finished ? state.reason + " | " + state.message : "still running";
  }
  const TaskState& of(std::string_view name) const { return state.tasks[index_of(plan_, name)]; }
  std::optional<Time> deadline() const { return scheduler_.next_deadline(state); }

  ~Scenario() {  // whatever a test did, the journal tells the same story
    State replayed;
    for (const Event& event : log)
      apply(plan_, replayed, event_from_json(nlohmann::json::parse(to_json(event, plan_).dump()), plan_));
    EXPECT_TRUE(replayed == state);
  }

  State state;
  std::vector<Event> log;
  ManualClock clock{Time(std::chrono::seconds(1000))};

 private:
  Scenario& keep(std::vector<Event> events) {
    log.insert(log.end(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
    return *this;
  }
  std::string names(bool (*take)(const TaskState&)) const {
    std::string out;
    for (size_t i = 0; i < plan_.tasks.size(); ++i)
      if (take(state.tasks[i])) out += (out.empty() ? "" : " ") + plan_.tasks[i].name;
    return out;
  }

  dag::Plan plan_;
  Scheduler scheduler_;
};

}  // namespace kiln::executor::testing
