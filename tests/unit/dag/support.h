#pragma once

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <string>

#include "dag/compile.h"

namespace kiln::dag::testing {

inline Compiled compile_text(const std::string& text, const RunRequest& request = {}) {
  Documents documents;
  Diagnostics diagnostics;
  load(documents, "p.yaml", text, diagnostics);
  StoredResolver resolver;
  return compile(documents, request, resolver, std::move(diagnostics));
}

inline std::string messages(const Diagnostics& diagnostics) {
  std::string out;
  for (const Diagnostic& d : diagnostics) out += render(d);
  return out;
}

// A plan of a text that must be right.
inline Plan plan_of(const std::string& text, const RunRequest& request = {}) {
  Compiled compiled = compile_text(text, request);
  if (!compiled.plan) {
    ADD_FAILURE() << messages(compiled.diagnostics);
    return {};
  }
  return std::move(*compiled.plan);
}

inline std::string pipeline(const std::string& spec) {
  return "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n" + spec;
}

// `taskSpec` of one step that does nothing.
inline const std::string kStep = "taskSpec: {steps: [{image: i, script: 'true'}]}";

// How many random cases a property is tried on: KILN_SEEDS, else `usual`.
inline unsigned seeds(unsigned usual) {
  const char* given = std::getenv("KILN_SEEDS");
  return given ? static_cast<unsigned>(std::atoi(given)) : usual;
}

// Documents that others wrote: KILN_CORPUS, or beside the source tree. Empty when there are none.
inline std::filesystem::path corpus() {
  if (const char* given = std::getenv("KILN_CORPUS")) return given;
  for (const char* up : {"..", "../.."})
    if (auto path = std::filesystem::path(KILN_SOURCE_DIR) / up / "shared" / "corpus";
        std::filesystem::exists(path))
      return path;
  return {};
}

// Calls visit(path) for each document in a folder of the corpus; the test is skipped without one.
template <class Visit>
void for_each_document(const std::string& name, size_t at_least, Visit visit) {
  const std::filesystem::path folder = corpus() / name;
  if (corpus().empty() || !std::filesystem::exists(folder)) GTEST_SKIP() << "no corpus: set KILN_CORPUS";
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    visit(entry.path());
  }
  EXPECT_GE(files, at_least);
}

}  // namespace kiln::dag::testing
