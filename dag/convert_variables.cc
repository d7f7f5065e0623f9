#include "dag/convert_variables.h"

#include "base/text.h"

namespace kiln::dag {
namespace {

using Owner = DeclaredResource::Owner;

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Calls replace(body, written) for each `$(body)`, and `${body}` when `braces`; an empty answer leaves the
// text as it is written.
template <class Replace>
std::string replace_variables(std::string_view text, bool braces, Replace replace) {
  std::string out;
  size_t done = 0;
  for (size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at + 1)) {
    if (at + 1 >= text.size()) break;
    const char open = text[at + 1];
    if (open != '(' && !(open == '{' && braces)) continue;
    const size_t end = text.find_first_of(open == '(' ? ")\n" : "}\n", at);
    if (end == std::string_view::npos || text[end] == '\n') continue;
    const std::string_view written = text.substr(at, end + 1 - at);
    const std::string with = replace(written.substr(2, written.size() - 3), written);
    if (with.empty()) continue;
    out.append(text.substr(done, at - done)).append(with);
    done = end + 1;
    at = end;
  }
  return out.append(text.substr(done));
}

}  // namespace

VariableRewriter::VariableRewriter(Tree& tree, DecodeContext& context,
                                   const std::vector<DeclaredResource>& resources, Syntax syntax)
    : tree_(tree), context_(context), syntax_(syntax) {
  for (const DeclaredResource& resource : resources)
    (resource.owner == Owner::Input ? inputs_ : outputs_).emplace(resource.name, &resource);
}

const DeclaredResource* VariableRewriter::named(Owner owner, std::string_view name) const {
  const auto& side = owner == Owner::Input ? inputs_ : outputs_;
  const auto found = side.find(std::string(name));
  return found == side.end() ? nullptr : found->second;
}

const Node* VariableRewriter::rewrite(const Node* node) {
  if (const auto known = done_.find(node); known != done_.end()) return known->second;
  const Node* result = node;
  if (node->kind == Node::Kind::Scalar) {
    if (node->scalar.find('$') != std::string::npos)
      if (std::string text = rewrite_text(node->scalar, node->at); text != node->scalar)
        result = tree_.text(std::move(text), node->at);
  } else {
    Node* made = nullptr;
    const auto change = [&](size_t i, bool entry, const Node* old) {
      const Node* fresh = rewrite(old);
      if (fresh == old) return;
      if (made == nullptr) made = &tree_.copy(*node);
      (entry ? made->entries[i].value : made->items[i]) = fresh;
    };
    for (size_t i = 0; i < node->items.size(); ++i) change(i, false, node->items[i]);
    for (size_t i = 0; i < node->entries.size(); ++i)
      if (node->entries[i].key != "description") change(i, true, node->entries[i].value);
    if (made != nullptr) result = made;
  }
  done_.emplace(node, result);
  return result;
}

std::string VariableRewriter::rewrite_text(const std::string& text, Position at) {
  return replace_variables(
      text, syntax_ != Syntax::Task,
      [&](std::string_view body, std::string_view written) { return replacement(body, written, at); });
}

std::string VariableRewriter::replacement(std::string_view body, std::string_view written, Position at) {
  if (syntax_ == Syntax::AlphaPipeline) {
    const bool ours = written[1] == '{' && (body.starts_with("params.") || body.starts_with("tasks."));
    return ours ? "$(" + std::string(body) + ")" : std::string();
  }
  std::string_view rest = body;
  if (take_prefix(rest, "inputs.params.")) return "$(params." + std::string(rest) + ")";
  if (take_prefix(rest, "inputs.params[")) return "$(params[" + std::string(rest) + ")";
  if (take_prefix(rest, "inputs.resources.") || take_prefix(rest, "resources.inputs."))
    return resource_variable(Owner::Input, rest, written, at);
  if (take_prefix(rest, "outputs.resources.") || take_prefix(rest, "resources.outputs."))
    return resource_variable(Owner::Output, rest, written, at);
  return {};
}

std::string VariableRewriter::resource_variable(Owner owner, std::string_view rest, std::string_view written,
                                                Position at) {
  const size_t dot = rest.rfind('.');
  const std::string_view name = rest.substr(0, dot);
  const std::string_view field = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  const DeclaredResource* resource = named(owner, name);
  if (resource == nullptr) {
    // An image that is built is often asked for as if it were an input. Tekton leaves such a text alone.
    resource = named(owner == Owner::Input ? Owner::Output : Owner::Input, name);
    if (resource == nullptr) {
      context_.report(Severity::Warning, at,
                      "non-existent variable in \"" + std::string(written.substr(0, 100)) +
                          "\": the task has no resource of this name");
      return {};
    }
    context_.report(Severity::Warning, at,
                    "`" + resource->name + "` is " + (owner == Owner::Input ? "an output" : "an input") +
                        ": taken for " + (owner == Owner::Input ? "outputs" : "inputs") + ".resources." +
                        resource->name);
  }
  if (!resource->converted()) return {};  // reported where it is declared
  if (field == "path") return resource->path();
  if (field == "type") return resource->type;
  if (field == "name") {
    context_.report(
        Severity::Note, at,
        std::string(written) + " becomes the task's own name for the resource, `" + resource->name + "`");
    return resource->name;
  }
  if (const ResourceField* known = resource_field(resource->type, field))
    return resource->variable(known->name);
  context_.report(Severity::Warning, at,
                  "non-existent variable in \"" + std::string(written.substr(0, 100)) +
                      "\": a resource of type " + resource->type + " has no such field");
  return {};
}

}  // namespace kiln::dag
