#pragma once

#include <string>
#include <string_view>

#include "dag/resolve.h"
#include "dag/substitution.h"

// What `$(…)` means in a pipeline that runs. Used by resolve*.cc only.
namespace kiln::dag {

class RunVariables {
 public:
  RunVariables(const Plan& plan, size_t task, const RunFacts& facts, const RunContext& context);

  // The pipeline's contexts, and which of its workspaces are bound.
  const Variables& contexts() const { return contexts_; }
  // Those, and every fact about other tasks that `text` asks for: looking them up one by one is cheaper than
  // making a table of all results of all tasks for each task.
  void add_facts(Variables& out, std::string_view text) const;
  Variables facts_of(const Param& param) const;

 private:
  void add_fact(Variables& out, const Reference& reference) const;

  const Plan& plan_;
  const RunFacts& facts_;
  Variables contexts_;
};

void add_contexts(Variables& out, const Plan& plan, const PlannedTask& task, const RunContext& context);

}  // namespace kiln::dag
