// Broken documents (tests/golden/dag/*.yaml) and exactly what is said about each (*.txt beside them).
// UPDATE_GOLDEN=1 writes the answers anew; read the difference before committing it.
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "dag/compile.h"

namespace kiln::dag {
namespace {

TEST(Golden, EveryBrokenDocumentGetsItsDiagnostics) {
  const fs::path folder = fs::path(KILN_SOURCE_DIR) / "tests" / "golden" / "dag";
  size_t documents_seen = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    ++documents_seen;
    Documents documents;
    Diagnostics diagnostics;
    load(documents, entry.path().filename(), read_file(entry.path()), diagnostics);
    StoredResolver resolver;
    const Compiled compiled = compile(documents, {}, resolver, std::move(diagnostics));
    EXPECT_FALSE(compiled.plan) << entry.path().filename() << " should be broken";
    const std::string said = render(compiled.diagnostics, documents);
    const fs::path golden = fs::path(entry.path()).replace_extension(".txt");
    if (std::getenv("UPDATE_GOLDEN") != nullptr) {
      write_file(golden, said);
    } else {
      ASSERT_TRUE(fs::exists(golden)) << golden.filename() << " is missing: UPDATE_GOLDEN=1 makes it";
      EXPECT_EQ(said, read_file(golden)) << entry.path().filename();
    }
  }
  EXPECT_GE(documents_seen, 25u);
}

}  // namespace
}  // namespace kiln::dag
