#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dag/convert_resources.h"
#include "dag/convert_tree.h"

namespace kiln::dag {

// Rewrites the variables of older versions in a Task's texts: `$(inputs.params.x)`, and those of resources
// in their four spellings, `$(inputs.resources.r.url)`, `$(resources.inputs.r.url)` and the same for
// outputs. In v1alpha1 also `${inputs.…}` and `${outputs.…}`; every other `${…}` is the shell's.
class VariableRewriter {
 public:
  VariableRewriter(Tree& tree, DecodeContext& context, const std::vector<DeclaredResource>& resources,
                   bool braces);

  // The tree with all its texts rewritten but descriptions; the same node when nothing changes. A node that
  // aliases share is rewritten once.
  const Node* rewrite(const Node* node);

 private:
  std::string rewrite_text(const std::string& text, Position at);
  std::string replacement(std::string_view body, std::string_view written, Position at);
  std::string resource_variable(DeclaredResource::Owner owner, std::string_view rest,
                                std::string_view written, Position at);

  Tree& tree_;
  DecodeContext& context_;
  const DeclaredResource* named(DeclaredResource::Owner owner, std::string_view name) const;

  std::unordered_map<std::string, const DeclaredResource*> inputs_, outputs_;
  bool braces_;
  std::unordered_map<const Node*, const Node*> done_;
};

// `${params.x}` and `${tasks.…}` as v1alpha1 Pipelines had them → `$(params.x)`.
const Node* rewrite_pipeline_braces(Tree& tree, const Node* node);

}  // namespace kiln::dag
