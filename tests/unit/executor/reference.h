#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "executor/scheduler.h"
#include "tests/unit/executor/random_plan.h"

namespace kiln::executor::testing {

// A scheduler as naive as can be, to compare with: nothing is kept but what happened, and after each thing
// that happens everything else is worked out again from the whole. It reads a RandomPlan, never the Plan's
// edges.
class Reference {
 public:
  // `plan` for its durations only.
  Reference(const RandomPlan& random, const dag::Plan& plan, size_t jobs);

  void begin(Time now);
  void finished(TaskRunId id, bool succeeded, std::optional<std::string> result, Time now);
  void cancel(Cancel mode, Time now);
  void tick(Time now);

  // One line for each task and its runs, and one for the run; what describe_state() says of a State.
  std::string describe() const;

 private:
  enum class Is { Unstarted, Running, Succeeded, Failed, Cancelled, Skipped };
  struct Run {
    Is is = Is::Unstarted;
    int attempt = 0;
    Time started{};
    bool told = false, told_by_timeout = false;
    std::optional<std::string> result;
  };
  struct Task {
    std::vector<Run> runs{1};
    bool fanned_out = false;
    std::string skip_reason;
    bool ended_by_timeout = false;  // a timeout of the run was over when it ended
  };

  static bool is_over(Is is) { return is != Is::Unstarted && is != Is::Running; }
  static std::string_view word(Is is);
  Is of(size_t task) const;
  bool all_over(bool finally) const;
  bool has_finally() const;
  bool stopping() const;
  size_t running() const;
  bool timed_out(bool finally) const;
  bool wants_turn(TaskRunId id) const;
  bool when_is_false(size_t task) const;
  bool when_breaks(size_t task) const;
  std::vector<size_t> lacking(size_t task) const;
  std::string why_without(size_t task) const;
  bool is_invalid(size_t task) const;
  bool lost_its_parent(size_t task) const;
  bool result_known(size_t task) const;
  std::string result_text(size_t task) const;
  std::string why_nothing_starts(bool finally) const;

  void work_out();
  void stop_what_must_stop();
  void stop_failed_matrices();
  void skip_unstarted(bool finally, const std::string& reason);
  void skip(TaskRunId id, const std::string& reason);
  bool start_one();

  const RandomPlan& random_;
  const dag::Plan& plan_;
  size_t jobs_;
  Time now_{}, began_{}, finally_began_{};
  std::vector<Task> tasks_;
  Cancel cancel_ = Cancel::No;
  bool in_finally_ = false, pipeline_late_ = false, tasks_late_ = false, finally_late_ = false;
  bool broken_ = false, over_ = false;
};

std::string describe_state(const dag::Plan& plan, const State& state);

}  // namespace kiln::executor::testing
