#include "executor/driver.h"

#include <future>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "executor/report.h"
#include "tests/unit/executor/fake_pods.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using testing::FakePodRunner;
using testing::plan_of;
using testing::task;

class Recorder final : public RunObserver {
 public:
  void task_started(const RunningTask& t) override {
    line("start " + t.label + "." + std::to_string(t.attempt));
  }
  void step_output(const RunningTask& t, const steps::StepSpec& s, bool, std::string_view bytes) override {
    line(t.label + ":" + s.name + " " + std::string(bytes));
  }
  void task_finished(const RunningTask& t, const TaskRunState& state) override {
    line("end " + t.label + " " + std::string(to_string(state.phase)));
    if (on_finish) on_finish(t.label);
  }
  void task_skipped(const RunningTask& t, std::string_view reason) override {
    line("skip " + t.label + " " + std::string(reason));
  }
  void run_finished(const RunRecord& run, const State&) override { line("done " + run.reason); }

  std::string text;
  std::function<void(const std::string&)> on_finish;

 private:
  void line(const std::string& words) { text += words + "\n"; }
};

class DriverTest : public ::testing::Test {
 protected:
  RunEnd run(const dag::Plan& plan, RunOptions options = {}) {
    options.jobs = options.jobs ? options.jobs : 1;
    RunEnd end = Driver(journal, pods, dirs).run(plan, observer, options);
    State replayed;
    for (const Event& event : journal.events(end.run.id, plan)) apply(plan, replayed, event);
    EXPECT_TRUE(replayed == end.state) << "what is on disk tells the same story";
    EXPECT_FALSE(fs::exists(dirs.runs() / end.run.id / "pods"));
    return end;
  }

  TempDir temp;
  Dirs dirs = Dirs::under(temp.path());
  Journal journal{dirs.database()};
  FakePodRunner pods;
  Recorder observer;
};

const std::string kTwo = "  results: [{name: out, value: $(tasks.a.results.r)}]\n  tasks:\n" + task("a") +
                         "  - {name: b, params: [{name: v, value: $(tasks.a.results.r)}], taskSpec: {params: "
                         "[{name: v}], steps: [{name: s, image: i, args: [$(params.v)]}]}}\n" +
                         "  finally:\n" + task("z");

TEST_F(DriverTest, PassesResultsOnAndRunsFinally) {
  pods.on("a", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded({{"r", "R"}});
  });
  const dag::Plan plan = plan_of(kTwo);
  const RunEnd end = run(plan);
  EXPECT_EQ(
      observer.text,
      "start a.0\nend a Succeeded\nstart b.0\nend b Succeeded\nstart z.0\nend z Succeeded\ndone Succeeded\n");
  ASSERT_EQ(pods.seen.size(), 3u);
  EXPECT_EQ(pods.seen[1].steps[0].args, std::vector<std::string>{"R"});
  EXPECT_EQ(end.exit_code(), 0);
  const nlohmann::json report = describe(end.run, plan, end.state);
  EXPECT_EQ(report["status"]["results"][0]["value"], "R");
  EXPECT_EQ(report["status"]["childReferences"].size(), 3u);
  EXPECT_EQ(report["status"]["conditions"][0]["reason"], "Succeeded");
  EXPECT_EQ(describe_task(end.run, plan, end.state, {1, 0})["spec"]["params"][0]["value"], "R");
}

TEST_F(DriverTest, ImagesAreFetchedAheadOfNeedUntilTheRunEnds) {
  std::vector<std::string> wanted;
  bool ended = false;
  std::promise<void> asked;
  pods.on("a", [&](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    asked.get_future().wait();
    return FakePodRunner::succeeded();
  });
  pods.on_prefetch = [&](const std::vector<registry::WantedImage>& images, std::stop_token stop) {
    for (const registry::WantedImage& image : images) wanted.push_back(image.name);
    asked.set_value();
    FakePodRunner::wait_for(stop);  // a slow registry does not hold the run up
    ended = true;
    throw Error(ErrorKind::Unavailable, "the registry is down");
  };
  const RunEnd end = run(plan_of("  tasks:\n" + task("a") + task("b")));
  EXPECT_EQ(end.exit_code(), 0);
  EXPECT_TRUE(ended);
  EXPECT_EQ(wanted, std::vector<std::string>{"i"});
  ASSERT_EQ(pods.seen.size(), 2u);
  EXPECT_LT(pods.seen[0].images.answered_since, registry::ImageRequest::Moment::max());
  EXPECT_EQ(pods.seen[0].images.answered_since, pods.seen[1].images.answered_since) << "asked once a run";
}

TEST_F(DriverTest, ACancelledRunFetchesNoMoreImages) {
  std::stop_source cancel;
  std::promise<void> fetching, stopped;
  pods.on_prefetch = [&](const std::vector<registry::WantedImage>&, std::stop_token stop) {
    fetching.set_value();
    FakePodRunner::wait_for(stop);
    stopped.set_value();
  };
  pods.on("a", [&](const steps::PodSpec& spec, steps::PodObserver& to, std::stop_token stop) {
    fetching.get_future().wait();
    cancel.request_stop();
    return FakePodRunner::until_stopped(spec, to, std::move(stop));
  });
  pods.on("z", [&](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    stopped.get_future().wait();  // before the run ends
    return FakePodRunner::succeeded();
  });
  RunOptions options;
  options.stop = cancel.get_token();
  const RunEnd end = run(plan_of("  tasks:\n" + task("a") + "  finally:\n" + task("z")), options);
  EXPECT_EQ(end.state.reason, "Cancelled");
}

TEST_F(DriverTest, KeepsWholeLogsPerAttempt) {
  const auto say = [](const std::string& words, bool good) {
    return [=](const steps::PodSpec& spec, steps::PodObserver& to, std::stop_token) {
      to.step_started(0, spec.steps[0]);
      to.step_output(0, false, words);
      to.step_output(0, true, "!\n");
      return good ? FakePodRunner::succeeded() : FakePodRunner::failed();
    };
  };
  pods.on("a", say("first", false));
  pods.on("a-retry1", say("second", true));
  const RunEnd end = run(plan_of("  tasks:\n" + task("a, retries: 1")));
  EXPECT_EQ(end.state.reason, "Succeeded");
  EXPECT_EQ(read_file(log_file(dirs, end.run.id, "a", 0, "s")), "first!\n");
  EXPECT_EQ(read_file(log_file(dirs, end.run.id, "a", 1, "s")), "second!\n");
  EXPECT_NE(observer.text.find("a:s first"), std::string::npos);
  EXPECT_NE(observer.text.find("end a Ready\n"), std::string::npos) << "it is to be tried again";
}

TEST_F(DriverTest, ATaskWhoseResultsAreNotWhatItDeclaresFails) {
  pods.on("a", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded({{"l", "no list"}});
  });
  const RunEnd end =
      run(plan_of("  tasks:\n  - {name: a, taskSpec: {results: [{name: l, type: array}], steps: [{name: s, "
                  "image: i}]}}\n"));
  EXPECT_EQ(end.exit_code(), 1);
  EXPECT_EQ(end.state.tasks[0].reason, "TaskRunValidationFailed");
  EXPECT_NE(end.state.tasks[0].message.find("\"l\": task result is expected to be \"array\""),
            std::string::npos);
}

TEST_F(DriverTest, ATaskThatIsGivenWhatItDoesNotTakeDoesNotStart) {
  pods.on("a", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded({{"r", "Q"}});
  });
  const RunEnd end =
      run(plan_of("  tasks:\n" + task("a") +
                  "  - {name: b, matrix: {params: [{name: e, value: [A, $(tasks.a.results.r)]}]}, taskSpec: "
                  "{params: [{name: e, enum: [A, B]}], steps: [{name: s, image: i}]}}\n"));
  EXPECT_EQ(end.exit_code(), 1);
  EXPECT_EQ(end.state.tasks[1].run(0).phase, Phase::Succeeded);
  EXPECT_EQ(end.state.tasks[1].run(1).reason, "InvalidParamValue");
  EXPECT_EQ(end.state.tasks[1].run(1).message, "param `e` value: Q is not in the enum list");
}

TEST_F(DriverTest, DescribesWhatWasGivenWithoutTheDefaults) {
  const dag::Plan plan =
      plan_of("  params: [{name: given}, {name: other, default: d}]\n  tasks:\n" + task("a"),
              "  params: [{name: given, value: g}]\n");
  const RunEnd end = run(plan);
  const nlohmann::json params = describe(end.run, plan, end.state)["spec"]["params"];
  ASSERT_EQ(params.size(), 1u);
  EXPECT_EQ(params[0]["name"], "given");
}

TEST_F(DriverTest, ChildrenAreCalledAndNumberedAlikeEverywhere) {
  const dag::Plan plan = plan_of(
      "  tasks:\n  - {name: a, matrix: {params: [{name: x, value: [one]}]}, taskSpec: {params: [{name: x}], "
      "steps: "
      "[{name: s, image: i, args: [$(context.taskRun.name), $(context.taskRun.uid)]}]}}\n");
  const RunEnd end = run(plan);
  const nlohmann::json child = describe_task(end.run, plan, end.state, {0, 0});
  EXPECT_EQ(child["metadata"]["name"], end.run.id + "-a") << "one combination is no fan-out";
  EXPECT_EQ(pods.seen.at(0).steps[0].args.at(0), child["metadata"]["name"]);
  EXPECT_EQ(pods.seen.at(0).steps[0].args.at(1), child["metadata"]["uid"]);
  EXPECT_EQ(describe(end.run, plan, end.state)["status"]["childReferences"][0]["name"], end.run.id + "-a");
}

TEST_F(DriverTest, FinallyHasNoStartWhenNoneOfItsTasksStarted) {
  const dag::Plan plan =
      plan_of("  tasks:\n" + task("a") + "  finally:\n" +
              task("z, when: [{input: $(tasks.a.status), operator: in, values: [Failed]}]"));
  const RunEnd end = run(plan);
  const nlohmann::json status = describe(end.run, plan, end.state)["status"];
  EXPECT_FALSE(status.contains("finallyStartTime"));
  EXPECT_EQ(status["skippedTasks"][0]["whenExpressions"][0]["input"], "Succeeded");
}

TEST_F(DriverTest, StepsOfATimedOutTaskSaySo) {
  pods.on("a", [](const steps::PodSpec& spec, steps::PodObserver& to, std::stop_token stop) {
    steps::PodOutcome outcome = FakePodRunner::until_stopped(spec, to, std::move(stop));
    outcome.steps = {{.name = "s", .exit_code = 1, .reason = steps::StepReason::Cancelled}};
    return outcome;
  });
  const RunEnd end = run(plan_of("  tasks:\n" + task("a, timeout: 10ms")));
  EXPECT_EQ(end.state.tasks[0].reason, "TaskRunTimeout");
  EXPECT_EQ(end.state.tasks[0].steps.at(0).reason, "TaskRunTimeout");
}

TEST_F(DriverTest, SecretsReachNeitherLogNorObserverNorMessage) {
  dag::Plan plan = plan_of("  tasks:\n" + task("a"));
  auto objects = std::make_shared<dag::ClusterObjects>();
  objects->secrets["login"].values["password"] = "hunter22";
  plan.objects = objects;
  pods.on("a", [](const steps::PodSpec& spec, steps::PodObserver& out, std::stop_token) {
    out.step_output(0, false, "<hunt");
    out.step_output(0, false, "er22> hunter");
    steps::StepOutcome step{.name = spec.steps[0].name, .exit_code = 1, .message = "not hunter22"};
    out.step_finished(0, step);
    steps::PodOutcome outcome = FakePodRunner::failed();
    outcome.message = "it said hunter22";
    outcome.results["r"] = "hunter22";
    outcome.steps = {step};
    return outcome;
  });
  const RunEnd end = run(plan);
  EXPECT_EQ(read_file(log_file(dirs, end.run.id, "a", 0, "s")), "<***> hunter");
  EXPECT_EQ(observer.text.find("hunter22"), std::string::npos) << observer.text;
  EXPECT_EQ(end.state.tasks[0].message, "it said ***");
  EXPECT_EQ(end.state.tasks[0].steps[0].message, "not ***");
  EXPECT_EQ(end.state.tasks[0].results.at("r").text, "hunter22") << "the next task needs it";
}

TEST_F(DriverTest, AFailureIsExitOneAndReported) {
  pods.on("a", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::failed("StepFailed");
  });
  const dag::Plan plan = plan_of(kTwo);
  const RunEnd end = run(plan);
  EXPECT_EQ(end.exit_code(), 1);
  EXPECT_EQ(
      observer.text,
      "start a.0\nend a Failed\nskip b PipelineRun was stopping\nstart z.0\nend z Succeeded\ndone Failed\n");
  const nlohmann::json report = describe(end.run, plan, end.state);
  EXPECT_EQ(report["status"]["skippedTasks"][0]["reason"], "PipelineRun was stopping");
  EXPECT_FALSE(report["status"].contains("results"));
}

TEST_F(DriverTest, InfrastructureIsExitThree) {
  pods.on("a", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) -> steps::PodOutcome {
    throw Error(ErrorKind::Infrastructure, "no sandbox", "kiln doctor");
  });
  const RunEnd end = run(plan_of("  tasks:\n" + task("a")));
  EXPECT_EQ(end.exit_code(), 3);
  EXPECT_EQ(end.state.tasks[0].message, "no sandbox (kiln doctor)");
}

TEST_F(DriverTest, StopCancelsAndRunsFinally) {
  std::stop_source stop;
  pods.on("a", [&](const steps::PodSpec& spec, steps::PodObserver& to, std::stop_token token) {
    stop.request_stop();
    return FakePodRunner::until_stopped(spec, to, token);
  });
  RunOptions options;
  options.stop = stop.get_token();
  const RunEnd end = run(plan_of(kTwo), options);
  EXPECT_EQ(end.exit_code(), 130);
  EXPECT_EQ(observer.text,
            "start a.0\nskip b PipelineRun was gracefully cancelled\nend a Cancelled\nstart z.0\nend z "
            "Succeeded\ndone Cancelled\n");
}

TEST_F(DriverTest, KillEndsFinallyToo) {
  std::stop_source stop, kill;
  const auto hang = [](std::stop_source& source) {
    return [&source](const steps::PodSpec& spec, steps::PodObserver& to, std::stop_token token) {
      source.request_stop();
      return FakePodRunner::until_stopped(spec, to, token);
    };
  };
  pods.on("a", hang(stop));
  pods.on("z", hang(kill));
  RunOptions options;
  options.stop = stop.get_token();
  options.kill = kill.get_token();
  EXPECT_EQ(run(plan_of(kTwo), options).exit_code(), 130);
  EXPECT_NE(observer.text.find("end z Cancelled\n"), std::string::npos);
}

TEST_F(DriverTest, ATimeoutEndsThePod) {
  pods.on("a", FakePodRunner::until_stopped);
  const RunEnd end = run(plan_of("  tasks:\n" + task("a, timeout: 1ms")));
  EXPECT_EQ(end.exit_code(), 4);
  EXPECT_EQ(end.state.tasks[0].reason, "TaskRunTimeout");
}

TEST_F(DriverTest, ManyTasksShareFewWorkers) {
  std::string text = "  tasks:\n";
  for (int i = 0; i < 200; ++i)
    text += task("t" + std::to_string(i) + (i % 3 ? ", runAfter: [t" + std::to_string(i - 1) + "]" : ""));
  RunOptions options;
  options.jobs = 4;
  EXPECT_EQ(run(plan_of(text), options).state.counts.succeeded, 200u);
}

TEST_F(DriverTest, ALogThatCannotBeWrittenFailsTheTask) {
  const dag::Plan plan = plan_of("  tasks:\n" + task("a"));
  pods.on("a", [&](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded();
  });
  // A file where the folder of logs belongs.
  observer.on_finish = nullptr;
  class Blocker final : public RunObserver {
   public:
    explicit Blocker(const Dirs& dirs) : dirs_(dirs) {}
    void run_started(const RunRecord& run, const dag::Plan&) override {
      write_file(dirs_.runs() / run.id / "logs", "in the way");
    }

   private:
    const Dirs& dirs_;
  } blocker(dirs);
  const RunEnd end = Driver(journal, pods, dirs).run(plan, blocker, {});
  EXPECT_EQ(end.exit_code(), 3);
}

TEST_F(DriverTest, WorkspacesAreFoldersThatTasksShare) {
  const TempDir mine;
  const dag::Plan plan = plan_of(
      "  workspaces: [{name: shared}, {name: kept}]\n  tasks:\n"
      "  - {name: a, workspaces: [{name: w, workspace: shared, subPath: in/side}, {name: k, workspace: "
      "kept}], taskSpec: {workspaces: [{name: w, mountPath: /w}, {name: k, readOnly: true}], steps: [{image: "
      "i}]}}\n",
      "  workspaces: [{name: kept, persistentVolumeClaim: {claimName: cache}}]\n");
  const RunEnd end = run(plan);
  ASSERT_EQ(pods.seen.size(), 1u);
  const auto& mounts = pods.seen[0].workspaces;
  EXPECT_EQ(mounts[0].source, dirs.runs() / end.run.id / "workspaces" / "shared" / "in" / "side");
  EXPECT_EQ(mounts[0].destination, "/w");
  EXPECT_TRUE(fs::exists(mounts[0].source));
  EXPECT_EQ(mounts[1].source, dirs.state / "claims" / "cache");
  EXPECT_EQ(mounts[1].destination, "/workspace/k");
  EXPECT_TRUE(mounts[1].read_only);
}

TEST_F(DriverTest, ALinkInAWorkspaceLeadsNowhereElse) {
  const dag::Plan plan = plan_of(
      "  workspaces: [{name: w}]\n  tasks:\n"
      "  - {name: a, workspaces: [{name: w}], taskSpec: {workspaces: [{name: w}], steps: [{image: i}]}}\n"
      "  - {name: b, runAfter: [a], workspaces: [{name: w, subPath: out}], taskSpec: {workspaces: [{name: "
      "w}], steps: [{image: i}]}}\n");
  pods.on("a", [](const steps::PodSpec& spec, steps::PodObserver&, std::stop_token) {
    fs::create_symlink("/etc", spec.workspaces[0].source / "out");
    return FakePodRunner::succeeded();
  });
  const RunEnd end = run(plan);
  EXPECT_EQ(end.state.tasks[1].phase, Phase::Failed);
  EXPECT_NE(end.state.tasks[1].message.find("leads out of "), std::string::npos);
}

}  // namespace
}  // namespace kiln::executor
