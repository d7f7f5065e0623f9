// The Plan of every document of the corpus, in a few lines each: tests/golden/plans/NAME.txt. A lone Task or
// Pipeline is given "<name>" for each param it asks for. UPDATE_GOLDEN=1 writes the answers anew; read the
// difference beside the document before committing it.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/text.h"
#include "dag/compile.h"
#include "dag/substitution.h"
#include "tests/unit/dag/plan_summary.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

// What is asked for and not given, as flags.
std::vector<std::pair<std::string, std::string>> placeholders(const std::vector<ParamSpec>& specs) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const ParamSpec& spec : specs) {
    if (spec.default_value) continue;
    const std::string lower = to_lower(spec.name.value);
    std::string value = !spec.enumeration.empty()  ? spec.enumeration.front()
                        : lower.ends_with("image") ? lower  // that of a step has to be a good name
                                                   : "<" + spec.name.value + ">";
    if (spec.type == ParamType::Array) value = "[\"" + value + "\"]";
    if (spec.type == ParamType::Object) {
      ParamValue object = ParamValue::object({});
      for (const std::string& key : spec.properties) object.fields[key] = "<" + key + ">";
      value = to_text(object);
    }
    out.emplace_back(spec.name, value);
  }
  return out;
}

std::string compiled(const Documents& documents, const Diagnostics& loaded, const RunRequest& request) {
  StoredResolver nothing;
  RunRequest looked_at = request;
  looked_at.preview = true;
  const Compiled result = compile(documents, looked_at, nothing, loaded);
  std::string out = result.plan ? testing::summary(*result.plan) : "no plan of " + request.target + "\n";
  for (const Diagnostic& said : result.diagnostics) out += render(said);
  return out;
}

// Every run of a file; in a file without runs, every Pipeline that none refers to, or every Task.
std::string plans_of(const Documents& documents, const Diagnostics& loaded) {
  std::string out;
  const auto add = [&](const std::string& target, const std::vector<ParamSpec>& params = {}) {
    RunRequest request;
    request.target = target;
    request.params = placeholders(params);
    out += (out.empty() ? "" : "\n") + compiled(documents, loaded, request);
  };
  for (const PipelineRun& run : documents.pipeline_runs) add(run.metadata.display());
  for (const TaskRun& run : documents.task_runs) add(run.metadata.display());
  for (const CustomRun& run : documents.custom_runs) add(run.metadata.display());
  if (!out.empty()) return out;
  for (const Pipeline& pipeline : documents.pipelines) add(pipeline.metadata.name, pipeline.spec->params);
  if (!out.empty()) return out;
  for (const Task& task : documents.tasks) add(task.metadata.name, task.spec->params);
  for (const StepAction& action : documents.step_actions) out += testing::summary(action);
  return out;
}

void expect_plans_of(const std::filesystem::path& file) {
  Documents documents;
  Diagnostics diagnostics;
  load(documents, file.filename(), read_file(file), diagnostics);
  const std::string found = plans_of(documents, diagnostics);
  const std::filesystem::path golden =
      std::filesystem::path(KILN_SOURCE_DIR) / "tests" / "golden" / "plans" / (file.stem().string() + ".txt");
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(golden.parent_path());
    write_file(golden, found);
  }
  ASSERT_TRUE(std::filesystem::exists(golden)) << "no golden plan of " << file << ": UPDATE_GOLDEN=1";
  EXPECT_EQ(found, read_file(golden)) << file;
}

TEST(PlanGolden, UpstreamExamplesBecomeThesePlans) {
  testing::for_each_document("tekton", 50, expect_plans_of);
}
TEST(PlanGolden, CatalogTasksBecomeThesePlans) {
  testing::for_each_document("catalog", 70, expect_plans_of);
}

}  // namespace
}  // namespace kiln::dag
