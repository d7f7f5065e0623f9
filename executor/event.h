#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "dag/plan.h"

namespace kiln::executor {

// What the journal keeps of a step.
struct StepRecord {
  std::string name;
  int exit_code = 0;
  std::string reason;  // terminationReason: Completed, Error, Continued, …
  std::string message;
  std::string image_digest;
  Time started{}, finished{};
  std::map<std::string, std::string> results = {};  // its own, verbatim bytes by name
  std::string artifacts = {};                       // the text of its provenance.json
  bool operator==(const StepRecord&) const = default;
};

// How one attempt of a task ended.
struct Outcome {
  bool succeeded = false;
  bool infrastructure = false;  // not the step's fault: exit 3
  std::string reason;           // TaskRun reason
  std::string message;
  std::vector<StepRecord> steps;
  std::map<std::string, std::string> results;  // verbatim bytes by name
  std::vector<StepRecord> sidecars = {};
  std::string artifacts = {};  // the text of its provenance.json
  bool operator==(const Outcome&) const = default;
};

// How an outcome that was not run for begins its message; the name of the run that it is from follows.
inline constexpr std::string_view kReusedFrom = "reused from run ";

// Something that happened in a run. A run's State is the fold of its events, and nothing else; the journal
// keeps them in order.
struct Event {
  enum class Kind {
    RunStarted,    // reason: how it is to end at once (see CancelRequested), else empty
    FannedOut,     // task, count: its matrix becomes that many TaskRuns
    TaskStarted,   // task, run, attempt: a TaskRun is to be started
    TaskStopped,   // task, run, attempt, reason, message: it is to be ended; TaskFinished still follows
    TaskFinished,  // task, run, attempt, outcome
    TaskSkipped,   // task, reason: Tekton's skip reason; of a matrix that fanned out: one run that never
                   // started
    FinallyStarted,
    CancelRequested,  // reason: Cancelled, CancelledRunFinally or StoppedRunFinally
    TimedOut,         // reason: pipeline, tasks or finally
    RunBroken,        // reason, message: a task asks for what cannot be worked out; all is to be ended
    RunFinished,      // reason, message
  };
  static constexpr size_t kNoTask = static_cast<size_t>(-1);

  Kind kind = Kind::RunStarted;
  Time at{};
  size_t task = kNoTask;  // index into Plan::tasks
  size_t run = 0;         // which of its TaskRuns: 0 but for a matrix
  int attempt = 0;
  size_t count = 0;  // FannedOut
  std::string reason;
  std::string message;
  Outcome outcome;
  bool operator==(const Event&) const = default;
};

std::string_view to_string(Event::Kind kind);

// Tasks are written by name, so that a journal is readable without its Plan. Times are nanoseconds since
// 1970. event_from_json throws Invalid for what to_json did not write, or for a task that the plan does not
// have.
nlohmann::json to_json(const Event& event, const dag::Plan& plan);
Event event_from_json(const nlohmann::json& json, const dag::Plan& plan);

// An Outcome by itself, as in the journal; the reverse throws nlohmann::json::exception.
nlohmann::json outcome_json(const Outcome& outcome);
Outcome outcome_from_json(const nlohmann::json& json);

}  // namespace kiln::executor
