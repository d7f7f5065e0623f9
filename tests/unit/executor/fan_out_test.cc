// Matrix, pipelines inside pipelines, and custom tasks, driven with pods that do what a test says.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "executor/custom_task.h"
#include "executor/driver.h"
#include "executor/report.h"
#include "executor/slots.h"
#include "tests/unit/executor/fake_pods.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using testing::FakePodRunner;
using testing::plan_of;
using testing::task;

class Labels final : public RunObserver {
 public:
  void task_started(const RunningTask& t) override {
    started.push_back(t.label);
    if (on_start) on_start(t.label);
  }
  std::vector<std::string> started;
  std::function<void(const std::string&)> on_start;
};

class FanOutTest : public ::testing::Test {
 protected:
  RunEnd run(const dag::Plan& plan, RunOptions options = {}) {
    if (options.jobs == 0) options.jobs = 1;
    RunEnd end = Driver(journal, pods, dirs).run(plan, observer, options);
    State replayed;
    for (const Event& event : journal.events(end.run.id, plan)) apply(plan, replayed, event);
    EXPECT_TRUE(replayed == end.state) << "what is on disk tells the same story";
    return end;
  }
  static FakePodRunner::Behaviour gives(std::string result) {
    return [result](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
      return FakePodRunner::succeeded({{"r", result}});
    };
  }

  TempDir temp;
  Dirs dirs = Dirs::under(temp.path());
  Journal journal{dirs.database()};
  FakePodRunner pods;
  Labels observer;
};

const std::string kMatrix =
    "  tasks:\n"
    "    - name: build\n"
    "      matrix: {params: [{name: os, value: [linux, mac]}, {name: v, value: [\"1\"]}]}\n"
    "      retries: 1\n"
    "      taskSpec:\n"
    "        params: [{name: os}, {name: v}]\n"
    "        results: [{name: r}]\n"
    "        steps: [{name: s, image: i, args: [$(params.os), $(context.taskRun.name)]}]\n"
    "    - name: all\n"
    "      params: [{name: list, value: \"$(tasks.build.results.r[*])\"}, {name: 'n', value: "
    "$(tasks.build.matrix.length)}]\n"
    "      taskSpec:\n"
    "        params: [{name: list, type: array}, {name: 'n'}]\n"
    "        steps: [{name: s, image: i, args: [\"$(params.n)\", \"$(params.list[*])\"]}]\n";

TEST_F(FanOutTest, AMatrixRunsOnceForEachCombinationAndItsResultsAreGathered) {
  pods.on("build-0", gives("L"));
  pods.on("build-1", gives("M"));
  const dag::Plan plan = plan_of(kMatrix);
  const RunEnd end = run(plan);
  EXPECT_EQ(observer.started, (std::vector<std::string>{"build-0", "build-1", "all"}));
  EXPECT_EQ(pods.seen.at(1).steps[0].args, (std::vector<std::string>{"mac", end.run.id + "-build-1"}));
  EXPECT_EQ(pods.seen.at(2).steps[0].args, (std::vector<std::string>{"2", "L", "M"}));
  EXPECT_EQ(end.state.message, "Tasks Completed: 2 (Failed: 0, Cancelled 0), Skipped: 0");
  const nlohmann::json report = describe(end.run, plan, end.state);
  ASSERT_EQ(report["status"]["childReferences"].size(), 3u);
  EXPECT_EQ(report["status"]["childReferences"][1]["name"], end.run.id + "-build-1");
  EXPECT_EQ(report["status"]["childReferences"][1]["pipelineTaskName"], "build");
}

TEST_F(FanOutTest, EachCombinationHasItsOwnAttempts) {
  pods.on("build-1", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::failed();
  });
  pods.on("build-1-retry1", gives("M"));
  const dag::Plan plan = plan_of(kMatrix);
  const RunEnd end = run(plan);
  EXPECT_EQ(end.state.reason, "Succeeded");
  EXPECT_EQ(end.state.tasks[0].runs.at(0).retries.size(), 0u);
  EXPECT_EQ(end.state.tasks[0].runs.at(1).retries.size(), 1u);
  const nlohmann::json status = describe_task(end.run, plan, end.state, {0, 1})["status"];
  EXPECT_EQ(status["podName"], end.run.id + "-build-1-pod-retry1");
  EXPECT_EQ(status["retriesStatus"][0]["podName"], end.run.id + "-build-1-pod");
}

TEST_F(FanOutTest, OneFailedCombinationFailsTheTaskWhenAllHaveEnded) {
  pods.on("build-0", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::failed();
  });
  pods.on("build-0-retry1", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::failed();
  });
  const RunEnd end = run(plan_of(kMatrix));
  EXPECT_EQ(end.state.message, "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 1");
  EXPECT_EQ(end.state.tasks[0].runs.at(1).phase, Phase::Succeeded);
  EXPECT_EQ(end.exit_code(), 1);
}

TEST_F(FanOutTest, CancellingEndsWhatRunsAndWhatHasNotStarted) {
  std::stop_source kill;
  observer.on_start = [&](const std::string&) { kill.request_stop(); };
  pods.on("build-0", FakePodRunner::until_stopped);
  const RunEnd end = run(plan_of(kMatrix), {.kill = kill.get_token()});
  EXPECT_EQ(end.state.reason, "Cancelled");
  EXPECT_EQ(end.state.tasks[0].runs.at(0).phase, Phase::Cancelled);
  EXPECT_EQ(end.state.tasks[0].runs.at(1).phase, Phase::Cancelled);
  EXPECT_EQ(pods.seen.size(), 1u);
}

TEST_F(FanOutTest, AnEmptyMatrixIsSkipped) {
  const RunEnd end =
      run(plan_of("  params: [{name: l, type: array, default: []}]\n"
                  "  tasks: [{name: a, matrix: {params: [{name: x, value: \"$(params.l[*])\"}]}, taskSpec: "
                  "{params: [{name: x}], steps: [{name: s, image: i, script: x}]}}]\n"));
  EXPECT_EQ(end.state.tasks[0].reason, "Matrix Parameters have an empty array");
  EXPECT_EQ(end.state.reason, "Completed");
}

const std::string kNested =
    "  params: [{name: who, default: me}]\n"
    "  workspaces: [{name: src}]\n"
    "  results: [{name: out, value: $(tasks.inner.results.r)}]\n"
    "  tasks:\n"
    "    - name: first\n"
    "      taskSpec: {results: [{name: r}], steps: [{name: s, image: i, script: x}]}\n"
    "    - name: inner\n"
    "      params: [{name: tag, value: $(params.who)-$(tasks.first.results.r)}]\n"
    "      workspaces: [{name: in, workspace: src}]\n"
    "      pipelineSpec:\n"
    "        params: [{name: tag}]\n"
    "        workspaces: [{name: in}]\n"
    "        results: [{name: r, value: $(tasks.deep.results.r)}]\n"
    "        tasks:\n"
    "          - name: deep\n"
    "            workspaces: [{name: in}]\n"
    "            taskSpec:\n"
    "              workspaces: [{name: in}]\n"
    "              results: [{name: r}]\n"
    "              steps: [{name: s, image: i, args: [$(params.tag)]}]\n";

TEST_F(FanOutTest, APipelineInsideIsARunOfItsOwn) {
  pods.on("first", gives("1"));
  pods.on("deep", gives("D"));
  const dag::Plan plan = plan_of(kNested);
  const RunEnd end = run(plan);
  EXPECT_EQ(end.state.reason, "Succeeded") << end.state.tasks[1].message;
  EXPECT_EQ(observer.started, (std::vector<std::string>{"first", "inner", "inner/deep"}));
  EXPECT_EQ(pods.seen.at(1).name, end.run.id + "-inner-deep");
  EXPECT_EQ(pods.seen.at(1).steps[0].args, std::vector<std::string>{"me-1"});
  EXPECT_EQ(pods.seen.at(1).workspaces.at(0).source, dirs.runs() / end.run.id / "workspaces" / "src")
      << "the folder is the outer run's";
  const nlohmann::json report = describe(end.run, plan, end.state);
  EXPECT_EQ(report["status"]["results"][0]["value"], "D");
  EXPECT_EQ(report["status"]["childReferences"][1]["kind"], "PipelineRun");

  const std::vector<RunRecord> children = journal.children(end.run.id);
  ASSERT_EQ(children.size(), 1u);
  EXPECT_EQ(children[0].id, end.run.id + "-inner");
  EXPECT_EQ(children[0].reason, "Succeeded");
  EXPECT_EQ(journal.list().size(), 1u) << "only the outer run is listed";
  const dag::Plan inner = journal.plan(children[0].id);
  EXPECT_EQ(inner.params.at(0).value.text, "me-1") << "its plan can be made again";
}

TEST_F(FanOutTest, AFailureInsideFailsTheTaskOutside) {
  pods.on("deep", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::failed();
  });
  pods.on("first", gives("1"));
  const RunEnd end = run(plan_of(kNested));
  EXPECT_EQ(end.state.tasks[1].reason, "Failed");
  EXPECT_EQ(end.state.tasks[1].message, "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0");
  EXPECT_EQ(end.exit_code(), 1);
}

TEST_F(FanOutTest, CancellingReachesInside) {
  std::stop_source kill;
  observer.on_start = [&](const std::string& label) {
    if (label == "inner/deep") kill.request_stop();
  };
  pods.on("first", gives("1"));
  pods.on("deep", FakePodRunner::until_stopped);
  const RunEnd end = run(plan_of(kNested), {.kill = kill.get_token()});
  EXPECT_EQ(end.state.reason, "Cancelled");
  EXPECT_EQ(journal.children(end.run.id).at(0).reason, "Cancelled");
}

TEST_F(FanOutTest, JobsCountThePodsOfAllPipelinesInside) {
  std::string text = "  tasks:\n";
  for (const char* outer : {"a", "b"})
    text += "    - {name: " + std::string(outer) +
            ", pipelineSpec: {tasks: [{name: x, taskSpec: {steps: [{image: i}]}}, "
            "{name: z, taskSpec: {steps: [{image: i}]}}]}}\n";
  std::mutex mutex;
  std::condition_variable changed;
  int begun = 0, running = 0, most = 0;
  observer.on_start = [&](const std::string& label) {
    const std::lock_guard lock(mutex);
    if (label.size() > 1) ++begun;
    changed.notify_all();
  };
  const auto wait = [&](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    std::unique_lock lock(mutex);
    most = std::max(most, ++running);
    changed.wait(lock, [&] { return begun == 4; });
    --running;
    return FakePodRunner::succeeded();
  };
  for (const char* pod : {"a-x", "a-z", "b-x", "b-z"}) pods.on(pod, wait);
  EXPECT_EQ(run(plan_of(text), {.jobs = 2}).state.reason, "Succeeded");
  EXPECT_LE(most, 2);
}

TEST(Slots, AreWaitedForUntilOneIsFreeOrNobodyWantsIt) {
  Slots slots(1);
  std::stop_source stop;
  {
    const Slots::Held first = slots.take(stop.get_token());
    EXPECT_TRUE(first);
    stop.request_stop();
    EXPECT_FALSE(slots.take(stop.get_token()));
  }
  EXPECT_TRUE(slots.take({}));
  EXPECT_TRUE(slots.take({})) << "given back";
}

std::string custom(const std::string& kind, const std::string& params) {
  return "  tasks:\n    - name: c\n      taskRef: {apiVersion: kiln.dev/v1, kind: " + kind + "}\n" +
         (params.empty() ? "" : "      params: [" + params + "]\n");
}

TEST_F(FanOutTest, WaitEndsWhenItsTimeHasPassed) {
  EXPECT_EQ(run(plan_of(custom("Wait", "{name: duration, value: 1ms}"))).state.reason, "Succeeded");
  const RunEnd bad = run(plan_of(custom("Wait", "{name: duration, value: soon}")));
  EXPECT_EQ(bad.state.tasks[0].message, "Wait: param `duration` is \"soon\" (write it like 90s or 1h30m)");
}

TEST_F(FanOutTest, AnApprovalWaitsForSomebodyToDecide) {
  const dag::Plan plan = plan_of(
      custom("Approval", "") +
      "    - name: after\n      runAfter: [c]\n      params: [{name: by, value: "
      "$(tasks.c.results.approved-by)}]\n      taskSpec: {params: [{name: by}], steps: [{name: s, image: "
      "i, args: [$(params.by)]}]}\n");
  std::jthread approver;
  observer.on_start = [&](const std::string& label) {
    if (label != "c") return;
    const fs::path approval = dirs.runs() / journal.list().at(0).id / "approvals" / "c";
    approver = std::jthread([approval] {
      for (;;) {  // until it waits
        try {
          return decide(approval, {true, "ada", "looks good"});
        } catch (const Error&) {
          std::this_thread::yield();
        }
      }
    });
  };
  const RunEnd end = run(plan);
  EXPECT_EQ(end.state.tasks[0].message, "approved by ada: looks good");
  EXPECT_EQ(pods.seen.at(0).steps[0].args, std::vector<std::string>{"ada"});
}

TEST_F(FanOutTest, ARejectionFailsAndNobodyToDecideIsAnError) {
  std::jthread rejecter;
  observer.on_start = [&](const std::string&) {
    const fs::path approval = dirs.runs() / journal.list().at(0).id / "approvals" / "c";
    rejecter = std::jthread([approval] {
      for (;;) {
        try {
          return decide(approval, {false, "bob", ""});
        } catch (const Error&) {
          std::this_thread::yield();
        }
      }
    });
  };
  const RunEnd end = run(plan_of(custom("ApprovalTask", "")));
  EXPECT_EQ(end.state.tasks[0].reason, "Rejected");
  EXPECT_EQ(end.exit_code(), 1);
  EXPECT_THROW(decide(temp.path() / "nothing", {}), Error);
}

}  // namespace
}  // namespace kiln::executor
