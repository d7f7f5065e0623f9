#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dag/convert_resources.h"
#include "dag/convert_tree.h"

namespace kiln::dag {

// Rewrites the variables of older versions in the texts of a Task: `$(inputs.params.x)`, and those of
// resources in their four spellings, `$(inputs.resources.r.url)`, `$(resources.inputs.r.url)` and the same
// for outputs. In v1alpha1 also `${inputs.…}` and `${outputs.…}`; every other `${…}` is the shell's. In the
// params of a v1alpha1 Pipeline, `${params.x}` and `${tasks.…}`.
class VariableRewriter {
 public:
  enum class Syntax { Task, AlphaTask, AlphaPipeline };
  VariableRewriter(Tree& tree, DecodeContext& context, const std::vector<DeclaredResource>& resources,
                   Syntax syntax);

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
  Syntax syntax_;
  std::unordered_map<const Node*, const Node*> done_;
};

}  // namespace kiln::dag
