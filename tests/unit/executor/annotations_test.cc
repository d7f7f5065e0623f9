// What Kiln's own annotations change in a run: fail-fast of a matrix, defaults of results.
#include <gtest/gtest.h>

#include "dag/substitution.h"
#include "executor/scheduler.h"
#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

using namespace std::chrono_literals;
using testing::index_of;
using testing::plan_of;
using testing::task;

class Annotated {
 public:
  explicit Annotated(dag::Plan plan, size_t jobs = 8)
      : plan_(std::move(plan)), scheduler_(plan_, {jobs, {"r-1", "uid", "default"}}) {
    feed({.kind = Event::Kind::RunStarted});
  }
  Annotated& finish(std::string_view name, size_t run, bool succeeded = true) {
    Event event{.kind = Event::Kind::TaskFinished, .task = index_of(plan_, name), .run = run};
    event.attempt = of(name).run(run).attempt;
    event.outcome.succeeded = succeeded;
    event.outcome.reason = succeeded ? "Succeeded" : "Failed";
    return feed(std::move(event));
  }
  Annotated& feed(Event event) {
    for (const Event& one : scheduler_.advance(state, std::move(event), Time(1s)))
      apply(plan_, replayed_, one);
    EXPECT_TRUE(replayed_ == state);
    return *this;
  }
  const TaskState& of(std::string_view name) const { return state.tasks[index_of(plan_, name)]; }
  std::string given(std::string_view name, std::string_view param) const {
    for (const dag::Param& one :
         dag::resolve_task(plan_, index_of(plan_, name), StateFacts(plan_, state), {"r-1", "uid", "default"})
             .params)
      if (one.name.value == param) return dag::to_text(one.value);
    return "none";
  }

  State state;

 private:
  dag::Plan plan_;
  Scheduler scheduler_;
  State replayed_;
};

const std::string kMatrix = "  tasks:\n" +
                            task("m, retries: 1, matrix: {params: [{name: x, value: [a, b, c]}]}") +
                            task("after, runAfter: [m]");

TEST(FailFast, OneTaskRunThatFailsForGoodEndsItsMatrix) {
  Annotated run(plan_of(kMatrix, {}, "{kiln.dev/fail-fast: \"true\"}"), 2);
  run.finish("m", 0, false);
  EXPECT_TRUE(run.of("m").run(1).stop_reason.empty()) << "it will be tried again";
  run.finish("m", 0, false);
  EXPECT_EQ(run.of("m").run(1).stop_reason, "TaskRunCancelled");
  EXPECT_EQ(run.of("m").run(2).phase, Phase::Cancelled) << "never started";
  run.finish("m", 1, false);
  EXPECT_EQ(run.of("m").phase, Phase::Failed);
  EXPECT_EQ(run.of("m").run(1).phase, Phase::Cancelled);
  EXPECT_EQ(run.of("after").reason, skip::kStopping);
  EXPECT_EQ(run.state.reason, "Failed");
}

TEST(FailFast, WithoutItTheOthersGoOn) {
  Annotated run(plan_of(kMatrix), 2);
  run.finish("m", 0, false).finish("m", 0, false);
  EXPECT_TRUE(run.of("m").run(1).stop_reason.empty());
  EXPECT_EQ(run.of("m").run(2).phase, Phase::Running);
}

const std::string kUser =
    "  - {name: user, params: [{name: v, value: $(tasks.maybe.results.r)}], taskSpec: {params: [{name: v}], "
    "steps: "
    "[{name: s, image: i, args: [$(params.v)]}]}}\n";
const std::string kDefault = "{kiln.dev/result-default.maybe.r: fallback}";

TEST(ResultDefault, IsWhatUsersOfASkippedTaskGet) {
  const std::string spec =
      "  tasks:\n" + task("maybe, when: [{input: a, operator: in, values: [b]}]") + kUser;
  Annotated with(plan_of(spec, {}, kDefault));
  EXPECT_EQ(with.of("user").phase, Phase::Running);
  EXPECT_EQ(with.given("user", "v"), "fallback");
  EXPECT_TRUE(with.of("maybe").results.empty()) << "it has not produced it";
  Annotated without(plan_of(spec));
  EXPECT_EQ(without.of("user").reason, skip::kMissingResults);
}

TEST(ResultDefault, AlsoWhenItWasSkippedBecauseOfItsParent) {
  const std::string spec = "  tasks:\n" + task("first, when: [{input: a, operator: in, values: [b]}]") +
                           task("maybe, params: [{name: p, value: $(tasks.first.results.r)}]") + kUser;
  Annotated run(plan_of(spec, {}, kDefault));
  EXPECT_EQ(run.of("maybe").reason, skip::kMissingResults);
  EXPECT_EQ(run.given("user", "v"), "fallback");
  EXPECT_EQ(run.of("user").phase, Phase::Running);
}

TEST(ResultDefault, IsForFailuresThatTheRunGoesOnAfter) {
  Annotated run(plan_of("  tasks:\n" + task("maybe, onError: continue") + kUser, {}, kDefault));
  run.finish("maybe", 0, false);
  EXPECT_EQ(run.given("user", "v"), "fallback");
}

TEST(ResultDefault, StandsForWhatAFailedTaskLeft) {
  Annotated run(plan_of("  tasks:\n" + task("maybe, onError: continue") + kUser, {}, kDefault));
  Event event{.kind = Event::Kind::TaskFinished, .task = 0};
  event.outcome.results["r"] = "half";
  run.feed(std::move(event));
  EXPECT_EQ(run.given("user", "v"), "fallback") << "as the pipeline's results do";
}

TEST(ResultDefault, IsForATaskThatSucceededWithoutIt) {
  const std::string spec = "  tasks:\n" + task("maybe") + kUser;
  Annotated with(plan_of(spec, {}, kDefault));
  with.finish("maybe", 0);
  EXPECT_EQ(with.given("user", "v"), "fallback");
  Annotated without(plan_of(spec));
  without.finish("maybe", 0);
  EXPECT_EQ(without.of("user").reason, skip::kInvalid);
}

TEST(Annotations, OfAPipelineHoldForItsRunsToo) {
  const dag::Plan plan = plan_of("  tasks:\n" + task("maybe"), "  timeouts: {pipeline: 5m}\n", kDefault);
  EXPECT_TRUE(plan.annotations.contains("kiln.dev/result-default.maybe.r"));
}

std::string problem_of(const std::string& annotations) {
  dag::Documents documents;
  Diagnostics diagnostics;
  dag::load(documents, "p.yaml",
            "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p, annotations: " + annotations +
                "}\nspec:\n  tasks:\n" + task("maybe") +
                "  - {name: many, taskSpec: {results: [{name: r, type: array}], "
                "steps: [{name: s, image: i, script: x}]}}\n",
            diagnostics);
  dag::StoredResolver resolver;
  const dag::Compiled compiled = compile(documents, {}, resolver, std::move(diagnostics));
  return compiled.diagnostics.empty()
             ? ""
             : compiled.diagnostics.front().message + " | " + compiled.diagnostics.front().hint;
}

TEST(Annotations, MistakesAreFoundBeforeAnythingRuns) {
  EXPECT_EQ(problem_of("{kiln.dev/result-default.many.r: '[\"a\"]', kiln.dev/fail-fast: \"false\", "
                       "kiln.dev/concurrency: queue}"),
            "");
  EXPECT_EQ(problem_of("{kiln.dev/fail-fast: \"yes\"}"),
            "annotation kiln.dev/fail-fast is \"yes\" | it can be \"true\" or \"false\"");
  EXPECT_EQ(problem_of("{kiln.dev/concurrency: stack}"),
            "annotation kiln.dev/concurrency is \"stack\" | it can be \"queue\" or \"cancel-previous\"");
  EXPECT_EQ(problem_of("{kiln.dev/result-default.maybee.r: x}"),
            "annotation kiln.dev/result-default.maybee.r: the pipeline has no task `maybee` | did you mean "
            "`maybe`?");
  EXPECT_EQ(problem_of("{kiln.dev/result-default.maybe.s: x}"),
            "annotation kiln.dev/result-default.maybe.s: task `maybe` has no result `s` | did you mean `r`?");
  EXPECT_EQ(
      problem_of("{kiln.dev/result-default.many.r: x}"),
      "annotation kiln.dev/result-default.many.r: the value is not the JSON of an array | write it like "
      "'[\"a\", \"b\"]'");
}

}  // namespace
}  // namespace kiln::executor
