#pragma once

#include <filesystem>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/sqlite.h"
#include "dag/compile.h"
#include "executor/event.h"

namespace kiln::executor {

// A run as the list shows it.
struct RunRecord {
  std::string id;  // "hello-run-x7k2p"
  std::string uid;
  std::string kind;  // Pipeline or Task
  std::string name;  // of the Pipeline or Task
  Time created{};
  std::optional<Time> finished;
  std::string reason;  // "Running" until it has finished
  std::string message;
  std::string parent;  // of a pipeline inside a pipeline: the run that started it
};

// Runs and their events, on disk (SQLite, tables `runs` and `events`). What append() has returned from
// survives a power cut. Thread-safe; several processes may share the file.
class Journal {
 public:
  explicit Journal(const std::filesystem::path& database);

  // A run that another starts: under a name of its parent's making, if that is free.
  struct Child {
    std::string id, parent;
  };
  // A new run under a fresh name, with all that is needed to make its plan again.
  RunRecord create(const dag::Plan& plan, Time now, const Child& child = {});
  // Appends in one transaction. A RunFinished among them closes the run.
  void append(std::string_view id, const dag::Plan& plan, std::span<const Event> events);

  std::vector<RunRecord> list(size_t limit = 100) const;           // newest first, without children
  std::vector<RunRecord> children(std::string_view parent) const;  // runs that this one started
  std::vector<RunRecord> unfinished() const;
  // "" or "last" is the newest. Throws NotFound with the nearest name.
  RunRecord find(std::string_view id) const;
  // Compiles the run's documents again. Throws Invalid if this version of Kiln no longer takes them.
  dag::Plan plan(std::string_view id) const;
  std::vector<Event> events(std::string_view id, const dag::Plan& plan) const;
  void remove(std::string_view id);

 private:
  mutable std::mutex mutex_;
  mutable Database database_;
};

// Runs whose kiln died (their lock is free) get a RunFinished that says so. Returns them. To be called when
// kiln starts. `runs` is Dirs::runs().
std::vector<RunRecord> close_lost_runs(Journal& journal, const std::filesystem::path& runs, Time now);

}  // namespace kiln::executor
