#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dag/fields.h"
#include "dag/yaml.h"

// What PipelineResources are, and the names that they have in v1 (the rules are in convert.h).
namespace kiln::dag {

// A field of a PipelineResource (its `params`), which becomes a param of the same name.
struct ResourceField {
  std::string_view name;
  std::optional<std::string_view> fallback;  // nullopt: has to be given
};

// Fields of a type; none when Kiln does not convert it. An image has `digest` and git has `revision`, so
// that the params tell the type.
std::span<const ResourceField> resource_fields(std::string_view type);
const ResourceField* resource_field(std::string_view type, std::string_view name);  // in any case
bool is_resource_type(std::string_view type);   // Tekton had it, whether converted or not
std::string instead_of(std::string_view type);  // what to use for a type that is not converted

// An input or output of a Task, or a resource of a Pipeline.
struct DeclaredResource {
  enum class Owner { Input, Output, Pipeline };
  Owner owner = Owner::Pipeline;
  std::string name, type;
  std::string target;  // targetPath
  bool optional = false;
  Position at;
  const Node* node = nullptr;

  bool converted() const { return !resource_fields(type).empty(); }
  std::string param(std::string_view field) const;
  std::string variable(std::string_view field) const;  // `$(params["…"])`
  std::string path() const;                            // of an input or output
};

std::string resource_param(DeclaredResource::Owner owner, std::string_view name, std::string_view field);

// Reads the declarations of a list, and reports what is wrong with them.
std::vector<DeclaredResource> declared_resources(DecodeContext& context, const Node* list,
                                                 DeclaredResource::Owner owner);

}  // namespace kiln::dag
