// `kiln.dev/cache: inputs`, from the annotation to what is told of it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "executor/cached_pod.h"
#include "executor/driver.h"
#include "tests/unit/executor/fake_pods.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakePodRunner;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Pods whose images have digests, and that write what a test says into their workspace.
class CachingPods final : public PodRunner {
 public:
  std::vector<std::string> image_digests(const steps::PodSpec& spec, std::stop_token) override {
    std::vector<std::string> out;
    for (const steps::StepSpec& step : spec.steps) {
      if (step.image == "host") return {};
      out.push_back(step.image + "@" + image);
    }
    return out;
  }
  steps::PodOutcome run(const steps::PodSpec& spec, steps::PodObserver& observer, std::stop_token) override {
    ++runs;
    observer.step_output(0, false, "it ran\n");
    for (const steps::VolumeMount& workspace : spec.workspaces)
      if (!workspace.read_only) work(workspace.source);
    return succeeds ? FakePodRunner::succeeded({{"r", "made by " + std::to_string(runs)}})
                    : FakePodRunner::failed();
  }

  std::string image = "sha256:1";
  std::function<void(const fs::path&)> work = [](const fs::path&) {};
  bool succeeds = true;
  int runs = 0;
};

class TaskCacheTest : public ::testing::Test {
 protected:
  // A pipeline of one task `a` with a workspace on host folder source/, in `annotations`.
  dag::Plan plan(const std::string& arg = "x", const std::string& annotations = "{kiln.dev/cache: inputs}") {
    return testing::plan_of(
        "  workspaces: [{name: source}]\n  results: [{name: out, value: $(tasks.a.results.r)}]\n  tasks:\n"
        "  - {name: a, workspaces: [{name: source}], params: [{name: p, value: \"" +
            arg +
            "\"}], taskSpec: {params: "
            "[{name: p}], workspaces: [{name: source}], results: [{name: r}], "
            "steps: [{name: s, image: i, args: [$(params.p)]}]}}\n",
        "", annotations);
  }
  RunEnd run(dag::Plan made) {
    for (dag::TaskWorkspace& workspace : made.tasks.front().workspaces) {
      workspace.binding.kind = dag::WorkspaceBinding::Kind::HostFolder;
      workspace.binding.folder = source();
    }
    RunObserver silent;
    return Driver(journal, pods, dirs).run(made, silent, {.jobs = 1});
  }
  CacheReport report(const RunEnd& end) {
    return read_cache_report(dirs.runs() / end.run.id / "cache" / "a.0");
  }
  fs::path source() {
    make_dirs(temp.path() / "source");
    return temp.path() / "source";
  }

  TempDir temp;
  Dirs dirs = Dirs::under(temp.path() / "root");
  Journal journal{dirs.database()};
  CachingPods pods;
};

TEST_F(TaskCacheTest, SameInputsGiveResultsAndFilesWithoutRunning) {
  pods.work = [](const fs::path& workspace) {
    make_dirs(workspace / "out");
    write_file(workspace / "out/binary", "compiled", 0755);
    fs::remove(workspace / "scratch");
  };
  write_file(source() / "scratch", "s");
  const RunEnd first = run(plan());
  EXPECT_THAT(report(first).reasons, ElementsAre("nothing was kept of it before"));
  fs::remove_all(source() / "out");
  write_file(source() / "scratch", "s");

  const RunEnd second = run(plan());
  EXPECT_EQ(pods.runs, 1);
  EXPECT_TRUE(second.state.succeeded());
  EXPECT_EQ(second.state.tasks[0].results.at("r").text, "made by 1");
  EXPECT_THAT(second.state.tasks[0].message, StartsWith(std::string(kReusedFrom) + first.run.id));
  EXPECT_EQ(read_file(source() / "out/binary"), "compiled");
  EXPECT_EQ(fs::status(source() / "out/binary").permissions(), fs::perms(0755));
  EXPECT_FALSE(fs::exists(source() / "scratch"));
  EXPECT_TRUE(report(second).cached);
  EXPECT_THAT(read_file(log_file(dirs, second.run.id, "a", 0, "s")), HasSubstr("CACHED"));
}

TEST_F(TaskCacheTest, AnythingThatChangedIsNamed) {
  write_file(source() / "main.c", "int main;");
  run(plan());
  EXPECT_THAT(report(run(plan("y"))).reasons, ElementsAre("param p changed", "step s: command changed"));
  pods.image = "sha256:2";
  EXPECT_THAT(report(run(plan("y"))).reasons, ElementsAre("step s: image changed"));
  write_file(source() / "main.c", "int main();");
  EXPECT_THAT(report(run(plan("y"))).reasons, ElementsAre("workspace /workspace/source changed: main.c"));
  EXPECT_EQ(pods.runs, 4);
  run(plan("y"));
  EXPECT_EQ(pods.runs, 4);
}

// A compiler: out/binary is made of main.c.
void compile(const fs::path& workspace) {
  make_dirs(workspace / "out");
  write_file(workspace / "out/binary", "of " + read_file(workspace / "main.c"));
}

TEST_F(TaskCacheTest, WhatTheTaskItselfMadeIsNoInputOfItsNextRun) {
  pods.work = compile;
  write_file(source() / "main.c", "1");
  run(plan());
  EXPECT_TRUE(report(run(plan())).cached);
  write_file(source() / "main.c", "2");
  EXPECT_THAT(report(run(plan())).reasons, ElementsAre("workspace /workspace/source changed: main.c"));
  EXPECT_TRUE(report(run(plan())).cached);
  write_file(source() / "main.c", "1");
  EXPECT_TRUE(report(run(plan())).cached) << "over what another source became";
  EXPECT_EQ(read_file(source() / "out/binary"), "of 1");
  EXPECT_TRUE(report(run(plan())).cached);
  EXPECT_EQ(pods.runs, 2);
}

TEST_F(TaskCacheTest, WhatOthersMadeOfItsOutputIs) {
  pods.work = compile;
  write_file(source() / "main.c", "1");
  run(plan());
  write_file(source() / "out/binary", "edited");
  EXPECT_THAT(report(run(plan())).reasons, ElementsAre("workspace /workspace/source changed: out/binary"));
  EXPECT_EQ(read_file(source() / "out/binary"), "of 1");
  EXPECT_TRUE(report(run(plan())).cached);
  write_file(source() / "out/foreign", "");
  EXPECT_THAT(report(run(plan())).reasons, ElementsAre("workspace /workspace/source changed: out/foreign"));
  EXPECT_EQ(pods.runs, 3);
}

TEST_F(TaskCacheTest, OutputsThatAreGoneComeBack) {
  pods.work = compile;
  write_file(source() / "main.c", "1");
  run(plan());
  run(plan());
  fs::remove_all(source() / "out");
  EXPECT_TRUE(report(run(plan())).cached);
  EXPECT_EQ(read_file(source() / "out/binary"), "of 1");
  EXPECT_EQ(pods.runs, 1);
}

TEST_F(TaskCacheTest, AFileThatTheTaskFoundAndChangedIsAnInput) {
  pods.work = [](const fs::path& workspace) {
    write_file(workspace / "version", read_file(workspace / "version") + "+");
  };
  write_file(source() / "version", "1");
  run(plan());
  EXPECT_FALSE(report(run(plan())).cached);
  EXPECT_EQ(read_file(source() / "version"), "1++");
}

TEST_F(TaskCacheTest, OutputsAreThoseOfOneFolder) {
  pods.work = compile;
  write_file(source() / "main.c", "1");
  run(plan());
  fs::rename(source(), temp.path() / "before");
  fs::copy(temp.path() / "before", source(), fs::copy_options::recursive);
  dag::Plan other = plan();
  for (dag::TaskWorkspace& workspace : other.tasks.front().workspaces) {
    workspace.binding.kind = dag::WorkspaceBinding::Kind::HostFolder;
    workspace.binding.folder = temp.path() / "before";
  }
  RunObserver silent;
  EXPECT_FALSE(report(Driver(journal, pods, dirs).run(other, silent, {.jobs = 1})).cached)
      << "out/binary was there before, as far as is known";
}

TEST_F(TaskCacheTest, OnlyWhatAsksForItIsCached) {
  for (const char* annotations : {"{}", "{kiln.dev/cache: 'off'}"}) {
    const RunEnd end = run(plan("x", annotations));
    EXPECT_THROW(report(end), Error);
  }
  run(plan("x", "{}"));
  EXPECT_EQ(pods.runs, 3);
}

TEST_F(TaskCacheTest, AFailureIsNotKept) {
  pods.succeeds = false;
  run(plan());
  pods.succeeds = true;
  EXPECT_TRUE(run(plan()).state.succeeded());
  EXPECT_EQ(pods.runs, 2);
}

TEST_F(TaskCacheTest, ADamagedEntryCountsAsNone) {
  pods.work = [](const fs::path& workspace) { write_file(workspace / "out", "compiled"); };
  run(plan());
  fs::remove(source() / "out");
  for (const auto& entry : fs::recursive_directory_iterator(dirs.cache / "tasks/entries"))
    if (entry.is_regular_file() && entry.path().parent_path().parent_path().filename() == "files")
      write_file(entry.path(), "compXled");
  run(plan());
  EXPECT_EQ(pods.runs, 2);
  EXPECT_EQ(read_file(source() / "out"), "compiled");
}

TEST_F(TaskCacheTest, TheMachinesOwnRootIsNoInput) {
  dag::Plan made = plan();
  auto spec = std::make_shared<dag::TaskSpec>(*made.tasks.front().spec);
  spec->steps.front().image.value = "host";
  made.tasks.front().spec = spec;
  const RunEnd end = run(std::move(made));
  EXPECT_THAT(report(end).reasons, Contains(HasSubstr("machine's own root")));
}

TEST_F(TaskCacheTest, ACombinationOfAMatrixIsComparedWithItself) {
  const TaskCache cache(temp.path() / "combinations");
  const auto inputs = [](const char* os) { return TaskInputs{{{"param os", os}, {"image", "i"}}, {}, {}}; };
  Outcome outcome;
  outcome.succeeded = true;
  const steps::PodSpec pod;
  cache.keep(inputs("linux"), "p/m", "run-a", outcome, pod, "0");
  cache.keep(inputs("mac"), "p/m", "run-a", outcome, pod, "1");
  TaskInputs now = inputs("linux");
  now.parts["image"] = "j";
  EXPECT_EQ(cache.why_not(now, "p/m", "0"), std::vector<std::string>{"image changed"});
}

TEST(TaskInputs, WhateverAContainerIsGivenIsAnInput) {
  steps::PodSpec plain;
  plain.steps = {{.name = "s", .image = "i"}};
  plain.sidecars.resize(1);
  std::set<std::string> keys;
  size_t changes = 0;
  const auto changed = [&](auto change) {
    steps::PodSpec pod = plain;
    change(pod, pod.steps[0], pod.sidecars[0]);
    keys.insert(task_inputs(pod, {"sha256:1", "sha256:2"}, {}).key().text());
    ++changes;
  };
  using Pod = steps::PodSpec;
  using Step = steps::StepSpec;
  using Sidecar = steps::SidecarSpec;
  changed([](Pod&, Step&, Sidecar&) {});
  changed([](Pod&, Step& step, Sidecar&) { step.command = {"c"}; });
  changed([](Pod&, Step& step, Sidecar&) { step.args = {"c"}; });
  changed([](Pod&, Step& step, Sidecar&) { step.script = "c"; });
  changed([](Pod&, Step& step, Sidecar&) { step.working_dir = "/c"; });
  changed([](Pod&, Step& step, Sidecar&) { step.env = {{"C", "c"}}; });
  changed([](Pod&, Step& step, Sidecar&) { step.continue_on_error = true; });
  changed([](Pod&, Step& step, Sidecar&) { step.run_as_user = 1; });
  changed([](Pod&, Step& step, Sidecar&) { step.run_as_group = 1; });
  changed([](Pod&, Step& step, Sidecar&) { step.run_as_non_root = true; });
  changed([](Pod&, Step& step, Sidecar&) { step.groups = {1}; });
  changed([](Pod&, Step& step, Sidecar&) { step.read_only_root = true; });
  changed([](Pod&, Step& step, Sidecar&) { step.capabilities = 1; });
  changed([](Pod&, Step& step, Sidecar&) { step.privileged = true; });
  changed([](Pod&, Step& step, Sidecar&) { step.results = {"r"}; });
  changed([](Pod&, Step& step, Sidecar&) { step.stdout_path = "/c"; });
  changed([](Pod&, Step& step, Sidecar&) { step.stderr_path = "/c"; });
  changed([](Pod&, Step&, Sidecar& sidecar) { sidecar.script = "c"; });
  changed([](Pod&, Step&, Sidecar& sidecar) { sidecar.readiness = steps::Probe{.port = 1}; });
  changed([](Pod&, Step&, Sidecar& sidecar) { sidecar.liveness = steps::Probe{.port = 1}; });
  changed([](Pod& pod, Step&, Sidecar&) { pod.results = {"r"}; });
  changed([](Pod& pod, Step&, Sidecar&) { pod.hermetic = true; });
  changed([](Pod& pod, Step&, Sidecar&) { pod.network = steps::Network::None; });
  EXPECT_EQ(keys.size(), changes);
}

TEST_F(TaskCacheTest, WhatWasNotUsedForLongestGoesFirst) {
  const TaskCache small(temp.path() / "small", {.entries = 2, .bytes = 1 << 20});
  steps::PodSpec pod;
  pod.folder = temp.path() / "pod";
  const auto inputs = [&](const std::string& text) { return task_inputs(pod, {}, {{"param p", text}}); };
  Outcome outcome;
  outcome.succeeded = true;
  const auto age = [&](const std::string& text, int hours) {
    const auto key = inputs(text).key();
    fs::last_write_time(temp.path() / "small/entries" / std::string(key.encoded()) / "bytes",
                        fs::file_time_type::clock::now() - std::chrono::hours(hours));
  };
  small.keep(inputs("a"), "t", "run-a", outcome, pod);
  small.keep(inputs("b"), "t", "run-b", outcome, pod);
  age("a", 2);
  age("b", 3);
  small.keep(inputs("c"), "t", "run-c", outcome, pod);
  EXPECT_TRUE(small.find(inputs("a")));
  EXPECT_FALSE(small.find(inputs("b")));
  EXPECT_EQ(small.find(inputs("c"))->run, "run-c");
}

TEST(TaskCacheAnnotation, OtherValuesAreRefused) {
  dag::Documents documents;
  Diagnostics diagnostics;
  dag::load(
      documents, "p.yaml",
      "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t, annotations: {kiln.dev/cache: always}}\n"
      "spec: {steps: [{image: i}]}\n",
      diagnostics);
  dag::StoredResolver resolver;
  const dag::Compiled compiled = dag::compile(documents, {}, resolver, std::move(diagnostics));
  EXPECT_FALSE(compiled.plan);
  EXPECT_THAT(dag::render(compiled.diagnostics, documents.sources), HasSubstr("\"inputs\" or \"off\""));
}

}  // namespace
}  // namespace kiln::executor
