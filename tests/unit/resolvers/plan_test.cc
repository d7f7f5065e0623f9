// A PipelineRun whose parts are elsewhere, from documents to Plan: what `kiln run -n` does.
#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dag/documents.h"
#include "tests/unit/resolvers/world.h"

namespace kiln::resolvers {
namespace {

using testing::HasSubstr;

std::vector<std::string> messages(const Diagnostics& diagnostics) {
  std::vector<std::string> out;
  for (const Diagnostic& one : diagnostics) out.push_back(one.message + " | " + one.hint);
  return out;
}

class RemotePlan : public testing::Test {
 protected:
  void SetUp() override {
    if (!find_program("git")) GTEST_SKIP() << "git is not installed";
    host = std::make_unique<GitHost>();
    // The Pipeline lies in git, and refers to a Task in a bundle and to one beside itself.
    host->write("pipeline.yaml",
                "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: release}\nspec:\n  tasks:\n"
                "  - name: build\n    taskRef:\n      resolver: bundles\n      params:\n"
                "      - {name: bundle, value: " +
                    registry.host() +
                    "/tools}\n      - {name: name, value: builder}\n      - {name: kind, value: task}\n"
                    "  - name: report\n    runAfter: [build]\n    taskRef:\n      resolver: git\n"
                    "      params:\n      - {name: url, value: '" +
                    host->url() + "'}\n      - {name: pathInRepo, value: report.yaml}\n");
    host->write("report.yaml", task_named("reporter"));
    commit = host->commit("one");
    push_builder("builder");
  }
  void push_builder(const std::string& task_name) {
    registry::Descriptor layer = registry.store.put(
        registry::TarBuilder().file("builder", task_named(task_name)).finish(), registry::media::kLayer);
    layer.annotations = {{"dev.tekton.image.name", "builder"},
                         {"dev.tekton.image.kind", "task"},
                         {"dev.tekton.image.apiVersion", "v1"}};
    registry::Manifest manifest{std::string(registry::media::kManifest),
                                registry.store.put("{}", registry::media::kConfig),
                                {layer},
                                {}};
    registry.store.tag("tools:latest",
                       registry.store.put(registry::serialize(manifest), registry::media::kManifest));
  }
  std::string run_of(const std::string& path) const {
    return "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: r}\nspec:\n  pipelineRef:\n"
           "    resolver: git\n    params:\n    - {name: url, value: '" +
           host->url() + "'}\n    - {name: revision, value: main}\n    - {name: pathInRepo, value: " + path +
           "}\n";
  }
  dag::Compiled compile(const std::string& text) {
    dag::Documents documents;
    Diagnostics diagnostics;
    dag::load(documents, "run.yaml", text, diagnostics);
    RemoteResolver resolver = world.make();
    return dag::compile(documents, {}, resolver, std::move(diagnostics));
  }

  registry::TestRegistry registry;
  std::unique_ptr<GitHost> host;
  World world;
  std::string commit;
};

TEST_F(RemotePlan, APipelineFromGitWithATaskFromABundle) {
  const dag::Compiled compiled = compile(run_of("pipeline.yaml"));
  ASSERT_TRUE(compiled.plan) << testing::PrintToString(messages(compiled.diagnostics));
  ASSERT_EQ(compiled.plan->tasks.size(), 2u);
  EXPECT_EQ(compiled.plan->tasks[0].task_name, "builder");
  EXPECT_EQ(compiled.plan->tasks[1].task_name, "reporter");
  ASSERT_EQ(world.log.size(), 3u);
  EXPECT_EQ(world.log[0].source, "git+" + host->url() + "@" + commit + " pipeline.yaml");

  // What the Plan keeps is enough to make it again without asking anybody.
  host->stop();
  registry.server.stop();
  const dag::Compiled again =
      dag::recompile(compiled.plan->sources, compiled.plan->remote, compiled.plan->request);
  ASSERT_TRUE(again.plan) << testing::PrintToString(messages(again.diagnostics));
  EXPECT_EQ(again.plan->tasks.size(), 2u);
}

TEST_F(RemotePlan, ASecondCompileReadsAllDocumentsFromTheCache) {
  ASSERT_TRUE(compile(run_of("pipeline.yaml")).plan);
  world.log.clear();
  ASSERT_TRUE(compile(run_of("pipeline.yaml")).plan);
  ASSERT_EQ(world.log.size(), 3u);
  EXPECT_TRUE(std::ranges::all_of(world.log, &Resolved::cached));
}

TEST_F(RemotePlan, WhatCannotBeResolvedIsADiagnosticAtTheReference) {
  const dag::Compiled compiled = compile(run_of("pipelines.yaml"));
  EXPECT_FALSE(compiled.plan);
  ASSERT_EQ(compiled.diagnostics.size(), 1u);
  EXPECT_EQ(compiled.diagnostics[0].file, "run.yaml");
  EXPECT_EQ(compiled.diagnostics[0].at.line, 6);
  EXPECT_THAT(compiled.diagnostics[0].message, HasSubstr("error opening file \"pipelines.yaml\""));
  EXPECT_EQ(compiled.diagnostics[0].hint, "did you mean `pipeline.yaml`?");
}

TEST_F(RemotePlan, ADocumentOfAnotherKindIsADiagnostic) {
  const dag::Compiled compiled = compile(run_of("report.yaml"));
  EXPECT_FALSE(compiled.plan);
  EXPECT_THAT(messages(compiled.diagnostics), testing::Contains(HasSubstr("holds no Pipeline")));
}

TEST_F(RemotePlan, AReferenceThatFailedIsNotTriedAgain) {
  RemoteResolver resolver = world.make();
  const dag::RemoteRef reference{"git", "Task", {{"url", host->url()}, {"pathInRepo", "missing.yaml"}}};
  EXPECT_THROW(resolver.fetch(reference), Error);
  const int before = host->asked();
  EXPECT_THROW(resolver.fetch(reference), Error);
  EXPECT_EQ(host->asked(), before);
}

TEST_F(RemotePlan, LintFetchesOnlyWhenItIsToldTo) {
  dag::Documents documents;
  Diagnostics diagnostics;
  dag::load(documents, "run.yaml", run_of("pipelines.yaml"), diagnostics);
  RemoteResolver resolver = world.make();
  EXPECT_FALSE(has_errors(dag::lint(documents, resolver, diagnostics)));
  EXPECT_EQ(host->asked(), 0);
  EXPECT_TRUE(has_errors(dag::lint(documents, resolver, diagnostics, true)));
}

}  // namespace
}  // namespace kiln::resolvers
