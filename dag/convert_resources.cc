#include "dag/convert_resources.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <unordered_set>

#include "base/text.h"
#include "dag/convert_tree.h"

namespace kiln::dag {
namespace {

constexpr std::array<ResourceField, 9> kGit{{{"url", std::nullopt},
                                             {"revision", ""},
                                             {"refspec", ""},
                                             {"submodules", "true"},
                                             {"depth", "1"},
                                             {"sslVerify", "true"},
                                             {"httpProxy", ""},
                                             {"httpsProxy", ""},
                                             {"noProxy", ""}}};
constexpr std::array<ResourceField, 2> kImage{{{"url", std::nullopt}, {"digest", ""}}};

const std::vector<std::string>& types() {
  static const std::vector<std::string> kTypes{"git",     "image",       "storage",   "gcs",
                                               "cluster", "pullRequest", "cloudEvent"};
  return kTypes;
}

}  // namespace

std::span<const ResourceField> resource_fields(std::string_view type) {
  if (type == "git") return kGit;
  if (type == "image") return kImage;
  return {};
}

const ResourceField* resource_field(std::string_view type, std::string_view name) {
  for (const ResourceField& field : resource_fields(type))
    if (iequals(field.name, name)) return &field;
  return nullptr;
}

bool is_resource_type(std::string_view type) {
  return std::ranges::find(types(), type) != types().end();
}

std::string instead_of(std::string_view type) {
  if (type == "storage" || type == "gcs")
    return "fetch it in a step (an image with gsutil or the like) into a workspace";
  if (type == "cluster") return "give the kubeconfig as a workspace from a Secret";
  if (type == "pullRequest") return "read and write the pull request in a step, with its API";
  if (type == "cloudEvent") return "send the event from a task under `finally`";
  return "use params and workspaces";
}

std::string resource_param(DeclaredResource::Owner owner, std::string_view name, std::string_view field) {
  using Owner = DeclaredResource::Owner;
  const std::string_view family = owner == Owner::Input    ? "inputs."
                                  : owner == Owner::Output ? "outputs."
                                                           : "";
  return std::string(family) + std::string(name) + "." + std::string(field);
}

std::string DeclaredResource::param(std::string_view field) const {
  return resource_param(owner, name, field);
}

std::string DeclaredResource::variable(std::string_view field) const {
  return "$(params[\"" + param(field) + "\"])";
}

std::string DeclaredResource::path() const {
  std::filesystem::path path = "/workspace";
  if (owner == Owner::Output && target.empty())
    path /= "output/" + name;
  else if (owner == Owner::Output && target.starts_with('/'))
    path = target;
  else
    path += "/" + (target.empty() ? name : target);
  std::string out = path.lexically_normal().string();
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  return out;
}

std::vector<DeclaredResource> declared_resources(DecodeContext& context, const Node* list,
                                                 DeclaredResource::Owner owner) {
  std::vector<DeclaredResource> out;
  if (list == nullptr) return out;
  if (list->kind != Node::Kind::Sequence) {
    context.error(list->at, "`resources` takes a list of PipelineResources");
    return out;
  }
  // Each becomes up to nine params: a small file must not become a huge one.
  constexpr size_t kMost = 256;
  if (list->items.size() > kMost) {
    context.error(list->at, std::to_string(list->items.size()) + " resources in one list",
                  "up to " + std::to_string(kMost) + " are converted");
    return out;
  }
  std::unordered_set<std::string> names;
  for (const Node* item : list->items) {
    DeclaredResource resource;
    resource.owner = owner;
    resource.node = item;
    resource.at = item->at;
    if (const Node* name = get(*item, "name")) resource.at = name->at;
    resource.name = get_text(*item, "name");
    resource.type = get_text(*item, "type");
    resource.target = get_text(*item, "targetPath");
    resource.optional = get_flag(*item, "optional");
    if (resource.name.empty()) {
      context.error(item->at, "a resource needs a `name`");
      continue;
    }
    check_plain_name(context, {resource.name, resource.at}, "resource");
    if (!names.insert(resource.name).second) {
      context.error(resource.at, "resource `" + resource.name + "` is declared twice");
      continue;
    }
    // A Task's output of that name may leave the type to the input: its reader sees to that.
    if (!resource.type.empty() && !is_resource_type(resource.type)) {
      const auto near = nearest(resource.type, types());
      context.error(get(*item, "type")->at, "unknown resource type \"" + resource.type.substr(0, 100) + "\"",
                    near ? "did you mean `" + *near + "`?" : "git and image are converted");
    }
    out.push_back(std::move(resource));
  }
  return out;
}

}  // namespace kiln::dag
