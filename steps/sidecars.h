#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "steps/ask_probe.h"
#include "steps/pod.h"

namespace kiln::steps {

// The sidecars of one pod while it runs: each has a thread that reads its output, and one that asks its
// probes. Destruction ends them.
class Sidecars {
 public:
  // Called from the sidecars' threads, several at once.
  using OnOutput = std::function<void(size_t sidecar, bool is_stderr, std::string_view bytes)>;

  // `dial` is how probes reach a sidecar. The runtime has to outlive this.
  Sidecars(SandboxRuntime& runtime, Dial dial, Duration grace, std::stop_token kill, OnOutput on_output)
      : runtime_(runtime),
        dial_(std::move(dial)),
        grace_(grace),
        kill_(std::move(kill)),
        on_output_(std::move(on_output)) {}
  ~Sidecars() { end(); }

  // Starts one; returns at once. `sandbox` describes it; `outcome` has its name and image already.
  void start(const SidecarSpec& spec, SandboxSpec sandbox, StepOutcome outcome);

  // Blocks until each is ready or has ended, or `stop` or `deadline` comes first. What a sidecar that could
  // not be started at all failed for, by index.
  struct Problem {
    size_t sidecar;
    Error error;
  };
  std::optional<Problem> await_ready(std::stop_token stop,
                                     std::optional<std::chrono::steady_clock::time_point> deadline);

  // None of them runs any more.
  bool all_ended();

  // SIGTERM to all, SIGKILL to who is still there after the grace or when killing is asked for; waits for
  // them. How each one ended.
  std::vector<StepOutcome> end();

 private:
  struct One {
    size_t index = 0;
    const SidecarSpec* spec = nullptr;
    SandboxSpec sandbox;
    StepOutcome outcome;
    bool settled = false;  // ready, or ended
    bool ended = false;
    std::stop_token ending;  // it is told to end: what its probes say no longer counts
    std::string killed_because;
    std::optional<Error> problem;
    std::jthread thread;  // last: it uses the others
  };
  void run(One& one, std::stop_token stop);
  void probe(One& one, Sandbox& sandbox, std::stop_token stop);
  // Asks until the probe passes (true), fails for good, or there is no need any more.
  enum class Until { Passed, PassedWhateverFails, Forever };
  bool ask_until(One& one, Until until, const Probe& probe, const char* kind, Sandbox& sandbox,
                 std::stop_token stop);
  bool sleep_until(std::chrono::steady_clock::time_point moment, std::stop_token stop);
  void kill(One& one, const std::string& because, Duration grace, Sandbox& sandbox, std::stop_token stop);
  void settle(One& one);
  void never_ran(One& one, const Error& error);
  void fail(One& one, const Error& error);
  void conclude(One& one, const RunResult& result);
  void say(const One& one, const std::string& sentence);

  SandboxRuntime& runtime_;
  const Dial dial_;
  const Duration grace_;
  const std::stop_token kill_;  // PodSpec::kill
  const OnOutput on_output_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::unique_ptr<One>> all_;
};

}  // namespace kiln::steps
