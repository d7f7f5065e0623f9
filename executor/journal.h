#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/sqlite.h"
#include "dag/compile.h"
#include "executor/state.h"

namespace kiln::executor {

// Who carries a run on.
enum class Owner {
  Terminal,  // the process that started it: the run ends with that, one way or the other
  Server,    // `kiln serve`: each one carries on what the one before it left
  Nobody,    // it is pending, until somebody starts it
};

// A run as the list shows it.
struct RunRecord {
  std::string id;  // "hello-run-x7k2p"
  std::string uid;
  std::string kind;  // Pipeline or Task
  std::string name;  // of the Pipeline or Task
  Time created{};
  std::optional<Time> finished;
  std::string reason;  // until it has finished: Running, Queued, PipelineRunPending or TaskRunPending
  std::string message;
  std::string parent;  // of a pipeline inside a pipeline: the run that started it
  Owner owner = Owner::Terminal;
  std::string group;  // see concurrency.h
  int64_t order = 0;  // later runs have higher ones
};

// What a new run is given beside its plan.
struct NewRun {
  std::string id = {}, parent = {};  // of a run that another starts: a name of its making, if that is free
  Owner owner = Owner::Terminal;
  std::string options = {};  // what its owner has to know again, in words of the owner's own
};

// Runs and their events, on disk (SQLite, tables `runs` and `events`). What append() has returned from
// survives a power cut. Thread-safe; several processes may share the file.
class Journal {
 public:
  explicit Journal(const std::filesystem::path& database);

  // A new run under a fresh name, with all that is needed to make its plan again.
  RunRecord create(const dag::Plan& plan, Time now, const NewRun& given = {});
  // Appends in one transaction. A RunStarted among them makes the run Running, a RunFinished closes it.
  void append(std::string_view id, const dag::Plan& plan, std::span<const Event> events);
  // Why a run that has not finished does not go on (reason and message of its record).
  void set_waiting(std::string_view id, std::string_view reason, std::string_view message);
  void set_owner(std::string_view id, Owner owner, std::string_view options);

  static constexpr size_t kAll = std::numeric_limits<int64_t>::max();
  std::vector<RunRecord> list(size_t limit = 100) const;           // newest first, without children
  std::vector<RunRecord> children(std::string_view parent) const;  // runs that this one started
  std::vector<RunRecord> unfinished() const;
  // "" or "last" is the newest. Throws NotFound with the nearest name.
  RunRecord find(std::string_view id) const;
  // Compiles the run's documents again. Throws Invalid if this version of Kiln no longer takes them.
  dag::Plan plan(std::string_view id) const;
  std::vector<Event> events(std::string_view id, const dag::Plan& plan) const;
  std::string options(std::string_view id) const;  // as NewRun or set_owner() gave them
  void remove(std::string_view id);

 private:
  void update(std::string_view id, std::string_view reason, std::string_view message);

  mutable std::mutex mutex_;
  mutable Database database_;
};

// What the journal has of a run, folded.
State replay(const Journal& journal, std::string_view id, const dag::Plan& plan);

}  // namespace kiln::executor
