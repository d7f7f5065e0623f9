#include "steps/sidecars.h"

#include <algorithm>
#include <signal.h>

#include "base/text.h"

namespace kiln::steps {
namespace {

using Steady = std::chrono::steady_clock;

}  // namespace

void Sidecars::start(const SidecarSpec& spec, SandboxSpec sandbox, StepOutcome outcome) {
  auto made = std::make_unique<One>();
  One& one = *made;
  one.spec = &spec;
  one.sandbox = std::move(sandbox);
  one.outcome = std::move(outcome);
  {
    const std::lock_guard lock(mutex_);
    one.index = all_.size();
    all_.push_back(std::move(made));
  }
  one.thread = std::jthread([this, &one](std::stop_token stop) { run(one, std::move(stop)); });
}

std::optional<Sidecars::Problem> Sidecars::await_ready(std::stop_token stop,
                                                       std::optional<Steady::time_point> deadline) {
  std::unique_lock lock(mutex_);
  const auto done = [&] {
    return std::ranges::all_of(all_, [](const auto& one) { return one->settled; }) ||
           std::ranges::any_of(all_, [](const auto& one) { return one->problem.has_value(); });
  };
  if (deadline)
    changed_.wait_until(lock, stop, *deadline, done);
  else
    changed_.wait(lock, stop, done);
  for (size_t i = 0; i < all_.size(); ++i)
    if (all_[i]->problem) return Problem{i, *all_[i]->problem};
  return std::nullopt;
}

bool Sidecars::all_ended() {
  const std::lock_guard lock(mutex_);
  return std::ranges::all_of(all_, [](const auto& one) { return one->ended; });
}

std::vector<StepOutcome> Sidecars::end() {
  for (const auto& one : all_) one->thread.request_stop();
  std::vector<StepOutcome> outcomes;
  for (const auto& one : all_) {
    one->thread.join();
    outcomes.push_back(std::move(one->outcome));
  }
  all_.clear();
  return outcomes;
}

void Sidecars::run(One& one, std::stop_token stop) {
  one.ending = stop;
  try {
    SandboxRun process(runtime_, one.sandbox);
    std::jthread prober;
    if (!process.sandbox().never_started()) {
      if (one.spec->startup || one.spec->readiness || one.spec->liveness)
        prober =
            std::jthread([&](std::stop_token enough) { probe(one, process.sandbox(), std::move(enough)); });
      else
        settle(one);
    }
    const RunResult result = process.to_end(
        [&](bool is_stderr, std::string_view bytes) { on_output_(one.index, is_stderr, bytes); }, stop, {},
        grace_, kill_);
    prober = {};  // before the sandbox goes that it asks
    for (const std::string& warning : result.warnings) say(one, "warning: " + warning);
    conclude(one, result);
  } catch (const Error& error) {
    never_ran(one, error);
  } catch (const std::exception& error) {  // of the standard library, say: a thread passes nothing on
    never_ran(one, Error(ErrorKind::Infrastructure, error.what()));
  }
  one.outcome.finished = system_clock().now();
  {
    const std::lock_guard lock(mutex_);
    one.ended = true;
  }
  settle(one);
}

void Sidecars::never_ran(One& one, const Error& error) {
  one.outcome.reason = StepReason::NotStarted;
  one.outcome.exit_code = 128;
  one.outcome.message = error.full();
  fail(one, error);
}

void Sidecars::fail(One& one, const Error& error) {
  const std::lock_guard lock(mutex_);
  one.problem = error;
}

void Sidecars::conclude(One& one, const RunResult& result) {
  StepOutcome& outcome = one.outcome;
  outcome.exit_code = result.status.code;
  if (!result.status.started) {
    outcome.reason = StepReason::Error;
    outcome.message = result.status.message;
    fail(one, Error(ErrorKind::Invalid, result.status.message));
  } else if (!one.killed_because.empty()) {
    outcome.reason = StepReason::Error;
    outcome.message = "killed: " + one.killed_because;
  } else if (result.cancelled) {
    outcome.reason = StepReason::Completed;
    outcome.message = "ended after the last step";
  } else if (result.status.out_of_memory) {
    outcome.reason = StepReason::OutOfMemory;
    outcome.message = "used more than its " + format_bytes(one.spec->resources.memory_bytes) + " of memory";
  } else if (outcome.exit_code != 0) {
    outcome.reason = StepReason::Error;
    outcome.message = "exited with code " + std::to_string(outcome.exit_code);
  }
}

void Sidecars::settle(One& one) {
  {
    const std::lock_guard lock(mutex_);
    one.settled = true;
  }
  changed_.notify_all();
}

void Sidecars::say(const One& one, const std::string& sentence) {
  on_output_(one.index, true, "kiln: " + sentence + "\n");
}

// As the kubelet ends a container: a signal, and after the grace the end of all in it. `stop` is requested
// when it has ended.
void Sidecars::kill(One& one, const std::string& because, Duration grace, Sandbox& sandbox,
                    std::stop_token stop) {
  {
    const std::lock_guard lock(mutex_);
    one.killed_because = because;
  }
  say(one, because + "; it is killed");
  sandbox.signal(SIGTERM);
  if (sleep_until(Steady::now() + grace, stop)) sandbox.kill();
}

bool Sidecars::sleep_until(Steady::time_point moment, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, stop, moment, [] { return false; });
  return !stop.stop_requested();
}

bool Sidecars::ask_until(One& one, Until until, const Probe& probe, const char* kind, Sandbox& sandbox,
                         std::stop_token stop) {
  ProbeCount count(probe, Steady::now());
  try {
    while (sleep_until(count.due(), stop)) {
      const std::string problem = ask(probe, sandbox, dial_, stop);
      if (stop.stop_requested() || one.ending.stop_requested()) return false;
      const ProbeCount::Verdict verdict = count.take(problem.empty(), Steady::now());
      if (!problem.empty() && count.counted()) say(one, std::string(kind) + " probe: " + problem);
      if (verdict == ProbeCount::Verdict::Passed && until != Until::Forever) return true;
      if (verdict == ProbeCount::Verdict::Failed && until != Until::PassedWhateverFails) {
        kill(one,
             "its " + std::string(kind) + " probe failed " + std::to_string(probe.failure_threshold) +
                 " times",
             probe.grace.value_or(grace_), sandbox, stop);
        return false;
      }
    }
  } catch (const std::exception& error) {
    if (stop.stop_requested() || one.ending.stop_requested()) return false;  // it was ended meanwhile
    const auto* ours = dynamic_cast<const Error*>(&error);
    kill(one, "its " + std::string(kind) + " probe cannot be asked: " + (ours ? ours->full() : error.what()),
         grace_, sandbox, stop);
  }
  return false;
}

// As the kubelet does: the others wait for startup; readiness and liveness run side by side from then on.
void Sidecars::probe(One& one, Sandbox& sandbox, std::stop_token stop) {
  const SidecarSpec& spec = *one.spec;
  if (spec.startup && !ask_until(one, Until::Passed, *spec.startup, "startup", sandbox, stop)) return;
  std::jthread liveness;
  if (spec.liveness)
    liveness = std::jthread(
        [&, stop] { ask_until(one, Until::Forever, *spec.liveness, "liveness", sandbox, stop); });
  if (!spec.readiness ||
      ask_until(one, Until::PassedWhateverFails, *spec.readiness, "readiness", sandbox, stop))
    settle(one);
}

}  // namespace kiln::steps
