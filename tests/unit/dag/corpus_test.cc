// Documents that others wrote. They must lint without a false error.
#include <filesystem>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "dag/compile.h"
#include "tests/unit/dag/support.h"

namespace kiln::dag {
namespace {

void lint_folder(const std::string& name, size_t at_least) {
  testing::for_each_document(name, at_least, [](const std::filesystem::path& path) {
    Documents documents;
    Diagnostics diagnostics;
    load(documents, path.filename(), read_file(path), diagnostics);
    StoredResolver nothing;
    const Diagnostics found = lint(documents, nothing, std::move(diagnostics));
    EXPECT_FALSE(has_errors(found)) << render(found, documents.sources);
  });
}

// The pipelines we give away make a plan as they stand, given the params they ask for.
TEST(Samples, PipelinesCompile) {
  const std::filesystem::path folder = std::filesystem::path(KILN_SOURCE_DIR) / "samples" / "pipelines";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no samples/pipelines";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    Documents documents;
    Diagnostics diagnostics;
    load(documents, entry.path().filename(), read_file(entry.path()), diagnostics);
    RunRequest request;
    request.params = {{"url", "u"}, {"image", "i"}, {"service", "s"}};
    StoredResolver nothing;
    const Compiled compiled = compile(documents, request, nothing, std::move(diagnostics));
    EXPECT_TRUE(compiled.plan) << render(compiled.diagnostics, documents.sources);
  }
}

TEST(Corpus, UpstreamExamplesLintWithoutErrors) {
  lint_folder("tekton", 50);
}
TEST(Corpus, CatalogTasksLintWithoutErrors) {
  lint_folder("catalog", 70);
}

}  // namespace
}  // namespace kiln::dag
