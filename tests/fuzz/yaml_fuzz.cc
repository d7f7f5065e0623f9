// A stranger's YAML all the way to a Plan, its graph and the tasks that would run.
#include <cstddef>
#include <cstdint>
#include <string>

#include "dag/compile.h"
#include "dag/graph.h"
#include "dag/resolve.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln::dag;
  Documents documents;
  kiln::Diagnostics diagnostics;
  load(documents, "fuzz.yaml", std::string(reinterpret_cast<const char*>(data), size), diagnostics);
  StoredResolver resolver;
  (void)lint(documents, resolver, diagnostics);
  const Compiled compiled = compile(documents, {}, resolver, std::move(diagnostics));
  (void)render(compiled.diagnostics, documents.sources);
  if (!compiled.plan) return 0;
  (void)graph_ascii(*compiled.plan);
  for (size_t i = 0; i < compiled.plan->tasks.size() && i < 50; ++i) {
    (void)check_ready(*compiled.plan, i, no_facts(), {});
    (void)resolve_task(*compiled.plan, i, no_facts(), {}, 0);
  }
  return 0;
}
