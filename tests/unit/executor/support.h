#pragma once

#include <gtest/gtest.h>
#include <string>

#include "dag/compile.h"
#include "executor/scheduler.h"

namespace kiln::executor::testing {

// `annotations` of the Pipeline: "{kiln.dev/x: y}".
inline dag::Plan plan_of(const std::string& spec, const std::string& run_spec = {},
                         const std::string& annotations = "{}") {
  std::string text =
      "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p, annotations: " + annotations +
      "}\nspec:\n" + spec;
  if (!run_spec.empty())
    text +=
        "---\napiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {generateName: r-}\nspec:\n  "
        "pipelineRef: {name: p}\n" +
        run_spec;
  dag::Documents documents;
  Diagnostics diagnostics;
  load(documents, "p.yaml", text, diagnostics);
  dag::StoredResolver resolver;
  dag::Compiled compiled = compile(documents, {}, resolver, std::move(diagnostics));
  if (!compiled.plan) {
    ADD_FAILURE() << dag::render(compiled.diagnostics, documents.sources);
    return {};
  }
  return std::move(*compiled.plan);
}

// "name", optionally with fields before the spec: "b, runAfter: [a]".
inline std::string task(const std::string& head) {
  return "  - {name: " + head +
         ", taskSpec: {results: [{name: r}], steps: [{name: s, image: i, script: x}]}}\n";
}

inline size_t index_of(const dag::Plan& plan, std::string_view name) {
  const dag::PlannedTask* found = plan.task(name);
  if (found == nullptr) throw std::out_of_range(std::string(name));
  return static_cast<size_t>(found - plan.tasks.data());
}

}  // namespace kiln::executor::testing
