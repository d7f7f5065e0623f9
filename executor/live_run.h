#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <variant>
#include <vector>

#include "base/fs.h"
#include "base/secret_mask.h"
#include "executor/concurrency.h"
#include "executor/custom_task.h"
#include "executor/driver.h"
#include "executor/pod_spec.h"
#include "executor/private_folder.h"
#include "executor/scheduler.h"
#include "executor/slots.h"
#include "executor/task_cache.h"
#include "executor/worker_pool.h"

namespace kiln::executor {

// What a run needs of the world.
struct RunServices {
  Journal& journal;
  PodRunner& pods;
  const Dirs& dirs;
  const Clock& clock;
};

// Where a pipeline inside a pipeline stands.
struct Nesting {
  std::string prefix;  // of its tasks' labels: "inner/"; empty: this is the outermost run
  std::filesystem::path workspaces;
  std::mutex* observing = nullptr;  // the outermost run's: one call of the observer at a time
  Slots* slots = nullptr;           // likewise
  registry::ImageRequest::Moment images_since = {};  // likewise: see PodPlaces
};

// One run of the journal from where it is to its end. The calling thread decides; workers run pods and put
// what came of it into the inbox. Used by driver.cc only.
class LiveRun {
 public:
  LiveRun(const RunServices& services, const dag::Plan& plan, RunRecord run, RunObserver& observer,
          const RunOptions& options, Nesting nesting = {});
  RunEnd run(std::stop_token stop, std::stop_token kill);

 private:
  // One attempt of a TaskRun: a pod, a pipeline, or a custom task.
  struct Job {
    TaskRunId id;
    dag::TaskRunIndex which;
    RunningTask task;
    std::variant<PodRequest, dag::RunRequest, CustomRequest, dag::ParamProblem> what;
    std::stop_source stop;
  };

  bool is_outermost() const { return nesting_.prefix.empty(); }
  bool wait_for_turn();
  void say_waiting();
  void go();
  void begin(bool cancelled);
  void carry_on();
  fs::path log_folder(TaskRunId id, int attempt) const;
  void put_log_aside(TaskRunId id, int attempt);
  void leave();
  void record(Event event);
  void post(Event event);
  void post_cancel(std::string reason);
  std::optional<Event> next_event();
  void act(const std::vector<Event>& events);
  void fetch_images();
  void start(const Event& event);
  Job job_for(const Event& event);
  RunningTask running(TaskRunId id, int attempt) const;
  std::optional<Event> run_job(Job& job);
  std::optional<Outcome> run_pipeline(const dag::RunRequest& request, const Job& job);
  RunRecord nested_run(const dag::Plan& plan, const Job& job);
  fs::path approval_file(TaskRunId id, int attempt) const;
  void stop_all();
  void abandon();
  void forget_secrets();

  RunServices services_;
  const dag::Plan& plan_;
  RunObserver& observer_;
  RunOptions options_;
  Nesting nesting_;
  RunRecord run_;
  PodPlaces places_;
  PrivateFolder private_;
  SecretMask secrets_;  // must not be shown
  TaskCache cache_;
  size_t jobs_;
  Scheduler scheduler_;
  State state_;
  UniqueFd lock_;
  std::optional<GroupPlace> place_;              // in its concurrency group
  std::map<TaskRunId, std::stop_source> stops_;  // of what runs; the deciding thread's alone

  Slots own_slots_;
  Slots& slots_;
  std::mutex own_observing_;
  std::mutex& observing_;  // one call of the observer at a time
  std::mutex mutex_;       // guards what follows
  std::condition_variable_any changed_;
  std::deque<Event> inbox_;
  bool leaving_ = false;
  std::jthread fetching_;    // images, ahead of need
  WorkerPool<Job> workers_;  // last: joined before what they use goes
};

}  // namespace kiln::executor
