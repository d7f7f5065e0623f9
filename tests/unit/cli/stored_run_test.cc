#include "cli/stored_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "cli/log_file.h"
#include "cli/task_run.h"
#include "tests/unit/executor/fake_pods.h"
#include "tests/unit/executor/support.h"

namespace kiln::cli {
namespace {

class StoredRunTest : public ::testing::Test {
 protected:
  executor::RunEnd run(const std::string& spec) {
    executor::RunObserver nobody;
    return executor::Driver(journal, pods, dirs).run(executor::testing::plan_of(spec), nobody, {});
  }

  TempDir temp;
  Dirs dirs = Dirs::under(temp.path());
  executor::Journal journal{dirs.database()};
  executor::testing::FakePodRunner pods;
};

TEST_F(StoredRunTest, LogsOfAnAttemptThatWasCutOffAreThoseOfItsTask) {
  const std::string id = run("  tasks:\n" + executor::testing::task("a")).run.id;
  const fs::path logs = dirs.runs() / id / "logs";
  for (const char* attempt : {"a.0.cut-off-1", "a.0"}) {
    make_dirs(logs / attempt);
    write_file(logs / attempt / "s.log", "said\n");
  }
  std::vector<std::string> tasks;
  for (const LogFile& file : log_files(journal, dirs, id)) tasks.push_back(file.task + "/" + file.step);
  EXPECT_THAT(tasks, testing::ElementsAre("a/s", "a/s"));
}

TEST_F(StoredRunTest, OutcomesHoldWhatStandsInPipelinesInside) {
  const std::string id =
      run("  tasks:\n" + executor::testing::task("a") +
          "  - {name: p, runAfter: [a], pipelineSpec: {tasks: [{name: in, taskSpec: {steps: "
          "[{name: s, image: i}]}}]}}\n" +
          executor::testing::task("z, when: [{input: x, operator: in, values: [n0]}]"))
          .run.id;
  std::string shown;
  for (const dag::TaskOutcome& one : task_outcomes(journal, load_run(journal, id))) {
    shown += one.label + " " + one.state + (one.took ? " took" : "") + "; ";
    for (const dag::TaskOutcome& inner : one.inside)
      shown += "inside " + inner.label + " " + inner.state + "; ";
  }
  EXPECT_EQ(shown, "a Succeeded took; p Succeeded took; inside in Succeeded; z Skipped; ");
}

TEST_F(StoredRunTest, ATaskRunIsFoundByItsName) {
  const std::string deep(50, 'd');  // its TaskRun's name is cut and hashed
  const std::string inner = "  - {name: p, pipelineSpec: {tasks: [{name: " + deep +
                            ", taskSpec: {steps: [{name: s, image: i}]}}]}}\n";
  const std::string id = run("  tasks:\n" + executor::testing::task("a") + inner).run.id;
  const auto a = find_task_run(journal, id + "-a");
  ASSERT_TRUE(a);
  EXPECT_EQ((*a)["kind"], "TaskRun");
  EXPECT_THAT(task_run_words(*a), testing::HasSubstr("Run:     " + id + ", task a"));
  EXPECT_FALSE(find_task_run(journal, id + "-b"));
  const executor::RunRecord child = journal.children(id).at(0);
  const dag::Plan plan = journal.plan(child.id);
  const auto found = find_task_run(journal, dag::child_name(plan, 0, child.id));
  ASSERT_TRUE(found);
  EXPECT_EQ((*found)["metadata"]["labels"]["tekton.dev/pipelineTask"], deep);
}

}  // namespace
}  // namespace kiln::cli
