// Going on from an earlier run, and ending one from another process.
#include "executor/rerun.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/fs.h"
#include "executor/control.h"
#include "executor/driver.h"
#include "tests/unit/executor/fake_pods.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using testing::FakePodRunner;
using testing::plan_of;
using testing::task;

class RerunTest : public ::testing::Test {
 protected:
  RunEnd run(RunOptions options = {}) {
    options.jobs = 1;
    pods.seen.clear();
    return Driver(journal, pods, dirs).run(plan, observer, options);
  }
  // The tasks that really ran.
  std::string ran(const RunEnd& end) const {
    std::string out;
    for (const steps::PodSpec& pod : pods.seen)
      out += (out.empty() ? "" : " ") + pod.name.substr(end.run.id.size() + 1);
    return out;
  }
  static steps::PodOutcome fail(const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::failed();
  }

  TempDir temp;
  Dirs dirs = Dirs::under(temp.path());
  Journal journal{dirs.database()};
  FakePodRunner pods;
  RunObserver observer;
  dag::Plan plan = plan_of("  workspaces: [{name: w}]\n  tasks:\n" + task("a") +
                           task("m, runAfter: [a], matrix: {params: [{name: x, value: [p, q]}]}") +
                           "  - {name: b, params: [{name: v, value: $(tasks.a.results.r)}, {name: l, value: "
                           "\"$(tasks.m.results.r[*])\"}], workspaces: [{name: w}], taskSpec: {params: "
                           "[{name: v}, {name: l, type: "
                           "array}], workspaces: [{name: w}], steps: [{name: s, image: i, args: "
                           "[$(params.v), \"$(params.l[*])\"]}]}}\n" +
                           task("c, runAfter: [b]") + task("side") + "  finally:\n" + task("z"));
};

TEST_F(RerunTest, OnlyWhatDidNotSucceedAndWhatComesAfterRunsAgain) {
  for (const char* name : {"a", "m-0", "m-1"})
    pods.on(name, [name](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
      return FakePodRunner::succeeded({{"r", std::string("R") + name}});
    });
  pods.on("b", fail);
  const RunEnd first = run();
  EXPECT_EQ(first.state.reason, "Failed");
  pods.on("b", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded();
  });
  const RunEnd second = run({.reuse = reusable(journal, plan, first.run, ""),
                             .workspaces = dirs.runs() / first.run.id / "workspaces"});
  EXPECT_EQ(second.state.reason, "Succeeded");
  EXPECT_EQ(ran(second).substr(0, 1), "b");
  EXPECT_EQ(ran(second).find("a"), std::string::npos);
  EXPECT_EQ(pods.seen.at(0).steps[0].args, (std::vector<std::string>{"Ra", "Rm-0", "Rm-1"}));
  EXPECT_EQ(fs::canonical(pods.seen.at(0).workspaces.at(0).source),
            fs::canonical(dirs.runs() / first.run.id / "workspaces" / "w"));
  EXPECT_NE(ran(second).find("z"), std::string::npos) << "finally tasks always run";

  State replayed;
  for (const Event& event : journal.events(second.run.id, plan)) apply(plan, replayed, event);
  EXPECT_TRUE(replayed == second.state);
}

TEST_F(RerunTest, FromATaskRunsItAndWhatComesAfter) {
  pods.on("a", [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded({{"r", "R"}});
  });
  for (const char* name : {"m-0", "m-1"})
    pods.on(name, [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
      return FakePodRunner::succeeded({{"r", "M"}});
    });
  const RunEnd first = run();
  ASSERT_EQ(first.state.reason, "Succeeded");
  const RunEnd second = run({.reuse = reusable(journal, plan, first.run, "b")});
  EXPECT_EQ(ran(second), "b c z");
}

TEST_F(RerunTest, OfAMatrixOnlyTheCombinationsThatFailedRunAgain) {
  const auto leave = [](const steps::PodSpec&, steps::PodObserver&, std::stop_token) {
    return FakePodRunner::succeeded({{"r", "R"}});
  };
  for (const char* name : {"a", "m-0"}) pods.on(name, leave);
  pods.on("m-1", fail);
  const RunEnd first = run();
  ASSERT_EQ(first.state.reason, "Failed");
  pods.on("m-1", leave);
  const RunEnd second = run({.reuse = reusable(journal, plan, first.run, "")});
  EXPECT_EQ(second.state.reason, "Succeeded");
  EXPECT_EQ(ran(second).find("m-0"), std::string::npos) << ran(second);
  EXPECT_NE(ran(second).find("m-1"), std::string::npos);
  EXPECT_EQ(ran(run({.reuse = reusable(journal, plan, first.run, "a")})).substr(0, 9), "a m-0 m-1");
}

TEST_F(RerunTest, AnUnknownTaskIsNamed) {
  const RunEnd first = run();
  try {
    reusable(journal, plan, first.run, "sidee");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.hint(), "did you mean `side`?");
  }
}

TEST_F(RerunTest, AnotherProcessCanEndARun) {
  class CancelAtStart final : public RunObserver {
   public:
    explicit CancelAtStart(const Dirs& dirs) : dirs_(dirs) {}
    void run_started(const RunRecord& run, const dag::Plan&) override { run_ = run.id; }
    void task_started(const RunningTask& task) override {
      if (task.label == "a") request_cancel(dirs_.runs() / run_, "CancelledRunFinally");
    }

   private:
    const Dirs& dirs_;
    std::string run_;
  } canceller(dirs);
  pods.on("a", FakePodRunner::until_stopped);
  const RunEnd end = Driver(journal, pods, dirs).run(plan, canceller, {.jobs = 1});
  EXPECT_EQ(end.state.tasks[0].reason, "TaskRunCancelled");
  EXPECT_EQ(end.state.tasks.back().phase, Phase::Succeeded) << "finally ran";
  EXPECT_THROW(request_cancel(dirs.runs() / end.run.id, "Cancelled"), Error) << "it has ended";
}

TEST_F(RerunTest, WhoLeftAResultOutRunsAgain) {
  const std::string consumer =
      "  - {name: b, params: [{name: v, value: $(tasks.a.results.r)}], taskSpec: {params: [{name: v}], "
      "steps: [{name: "
      "s, image: i}]}}\n";
  const std::string all = "  tasks:\n" + task("a") + task("side");
  for (const std::string& spec :
       {all + consumer, "  results: [{name: x, value: $(tasks.a.results.r)}]\n" + all}) {
    plan = plan_of(spec);
    const RunEnd first = run();
    EXPECT_FALSE(first.state.succeeded());
    RunOptions again;
    again.reuse = reusable(journal, plan, first.run, "");
    const RunEnd second = run(again);
    EXPECT_EQ(ran(second), "a") << first.state.reason;
  }
}

}  // namespace
}  // namespace kiln::executor
