// Broken documents (tests/golden/dag/*.yaml) and exactly what is said about each (*.txt beside them).
// UPDATE_GOLDEN=1 writes the answers anew; read the difference before committing it.
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "dag/compile.h"

namespace kiln::dag {
namespace {

// What `kiln lint` says; when it has nothing against the documents, what `kiln run` says.
std::string what_is_said(const Documents& documents, Diagnostics loaded) {
  StoredResolver resolver;
  const Diagnostics linted = lint(documents, resolver, loaded);
  if (has_errors(linted)) return render(linted, documents.sources);
  return render(compile(documents, {}, resolver, std::move(loaded)).diagnostics, documents.sources);
}

// Compares with the answers in a folder; returns the number of documents.
size_t check_answers(const char* name, const std::string& severity) {
  const fs::path folder = fs::path(KILN_SOURCE_DIR) / "tests" / "golden" / name;
  size_t documents_seen = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    ++documents_seen;
    Documents documents;
    Diagnostics diagnostics;
    load(documents, entry.path().filename(), read_file(entry.path()), diagnostics);
    StoredResolver resolver;
    const std::string said = severity == "error"
                                 ? what_is_said(documents, std::move(diagnostics))
                                 : render(lint(documents, resolver, diagnostics), documents.sources);
    EXPECT_NE(said.find(severity + ": "), std::string::npos)
        << entry.path().filename() << " has no " << severity;
    const fs::path golden = fs::path(entry.path()).replace_extension(".txt");
    if (std::getenv("UPDATE_GOLDEN") != nullptr) {
      write_file(golden, said);
    } else {
      const bool there = fs::exists(golden);
      EXPECT_TRUE(there) << golden.filename() << " is missing: UPDATE_GOLDEN=1 makes it";
      EXPECT_EQ(said, there ? read_file(golden) : "") << entry.path().filename();
    }
  }
  return documents_seen;
}

TEST(Golden, EveryBrokenDocumentGetsItsDiagnostics) {
  EXPECT_GE(check_answers("dag", "error"), 100u);
}

// Documents that Tekton takes, and that most likely do not say what was meant.
TEST(Golden, EverySuspectDocumentGetsItsWarnings) {
  EXPECT_GE(check_answers("dag-suspect", "warning"), 5u);
}

// Every field of the API, in documents that Tekton's own validation accepts (tests/conformance/tekton).
TEST(Golden, ValidDocumentsLintWithoutErrors) {
  const fs::path folder = fs::path(KILN_SOURCE_DIR) / "tests" / "golden" / "dag-valid";
  size_t documents_seen = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    ++documents_seen;
    Documents documents;
    Diagnostics diagnostics;
    load(documents, entry.path().filename(), read_file(entry.path()), diagnostics);
    StoredResolver resolver;
    const Diagnostics linted = lint(documents, resolver, diagnostics);
    EXPECT_FALSE(has_errors(linted)) << render(linted, documents.sources);
  }
  EXPECT_GE(documents_seen, 40u);
}

}  // namespace
}  // namespace kiln::dag
