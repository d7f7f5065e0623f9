#include "dag/convert_bindings.h"

#include <algorithm>
#include <unordered_set>

#include "base/text.h"
#include "dag/convert_resources.h"

namespace kiln::dag {
namespace {

// `type` and `params` of a PipelineResource, in a document or inside a run.
void decode_resource_spec(DecodeContext& context, const Node& spec, std::string& type,
                          std::map<std::string, Text>& params) {
  Fields fields(context, spec, "PipelineResource spec");
  const Text written = fields.text("type");
  type = written.value;
  if (written.empty())
    context.error(spec.at, "a PipelineResource needs a `type`", "for example `type: git`");
  else if (resource_fields(type).empty())
    context.report(Severity::Warning, written.at,
                   "PipelineResources of type " + type.substr(0, 100) + " are not converted",
                   instead_of(type));
  if (const Node* list = fields.sequence("params"))
    for (const Node* item : list->items) {
      Fields param(context, *item, "param");
      const Text name = param.text("name");
      const Text value = param.scalar("value");
      param.done();
      const ResourceField* field = resource_field(type, name.value);
      if (field != nullptr)
        params[std::string(field->name)] = value;
      else if (!resource_fields(type).empty())
        context.report(
            Severity::Warning, name.at,
            "a PipelineResource of type " + type + " has no param `" + name.value.substr(0, 100) + "`");
    }
  fields.ignore({"secrets", "description"});
  fields.done();
}

std::vector<std::string> resources_of(const PipelineSpec& target) {
  std::vector<std::string> names;
  for (const ParamSpec& spec : target.params)
    if (spec.name.value.ends_with(".url"))
      names.push_back(spec.name.value.substr(0, spec.name.value.size() - 4));
  return names;
}

}  // namespace

PipelineResource decode_pipeline_resource(DecodeContext& context, const Node& spec) {
  PipelineResource resource;
  decode_resource_spec(context, spec, resource.type, resource.params);
  return resource;
}

std::vector<Text> decode_unconverted_resources(DecodeContext& context, Fields& task_spec) {
  std::vector<Text> types;
  const Node* list = task_spec.sequence("pipelineResources");
  if (list == nullptr) return types;
  for (const Node* item : list->items) {
    Fields fields(context, *item, "resource");
    types.push_back(fields.text("type"));
    fields.ignore({"name", "targetPath", "optional", "description"});
    fields.done();
  }
  return types;
}

std::vector<ResourceBinding> decode_resource_bindings(DecodeContext& context, Fields& run_spec) {
  std::vector<ResourceBinding> out;
  const Node* list = run_spec.sequence("pipelineResources");
  if (list == nullptr) return out;
  for (const Node* item : list->items) {
    Fields fields(context, *item, "resource");
    ResourceBinding binding;
    binding.at = item->at;
    binding.name = fields.text("name");
    const Node* ref = fields.mapping("resourceRef");
    const Node* spec = fields.mapping("resourceSpec");
    fields.done();
    if (binding.name.empty()) {
      context.error(item->at, "a resource needs a `name`");
      continue;
    }
    if ((ref == nullptr) == (spec == nullptr)) {
      context.error(item->at, std::string("expected exactly one, got ") + (ref ? "both" : "neither") +
                                  ": resourceRef, resourceSpec");
      continue;
    }
    if (ref != nullptr) {
      Fields names(context, *ref, "resourceRef");
      binding.ref = names.text("name");
      names.ignore({"apiVersion"});
      names.done();
      if (binding.ref.empty()) {
        context.error(ref->at, "resourceRef needs a `name`");
        continue;
      }
    } else {
      decode_resource_spec(context, *spec, binding.type, binding.params);
    }
    out.push_back(std::move(binding));
  }
  return out;
}

namespace {

// Says what is wrong with one binding, else adds its params.
class Binder {
 public:
  Binder(const Documents& documents, const PipelineSpec& target, Reporter& reporter, bool lenient,
         std::vector<Param>& params)
      : documents_(documents), target_(target), reporter_(reporter), lenient_(lenient), params_(params) {
    for (const ParamSpec& spec : target.params) declared_.insert(spec.name.value);
  }

  void bind(const ResourceBinding& binding) {
    const std::string& name = binding.name.value;
    if (binding.ref.empty()) {
      bind(binding, binding.type, binding.params);
    } else if (const PipelineResource* resource = find(binding.ref.value)) {
      bind(binding, resource->type, resource->params);
    } else {
      const std::string near =
          reporter_.suggest(binding.ref.value, documents_.pipeline_resources,
                            [](const PipelineResource& r) { return r.metadata.name.value; });
      report(binding.ref.at,
             "PipelineResource \"" + binding.ref.value + "\" is not among the documents loaded",
             near.empty() ? "pass the file that defines it too: `kiln run FILE FILE…`" : near);
      add(binding, name + ".url", {});
    }
  }

 private:
  const PipelineResource* find(const std::string& name) const {
    const auto found = documents_.by_name.find("PipelineResource/" + name);
    return found == documents_.by_name.end() ? nullptr : static_cast<const PipelineResource*>(found->second);
  }

  void bind(const ResourceBinding& binding, const std::string& type,
            const std::map<std::string, Text>& fields) {
    const std::string& name = binding.name.value;
    const std::string wanted = declared_.contains(name + ".revision") ? "git" : "image";
    if (type.empty()) {  // reported where it stands
      add(binding, name + ".url", {});
    } else if (resource_fields(type).empty()) {
      report(binding.name.at,
             "resource `" + name + "` has the type " + type + ", which Kiln does not convert",
             instead_of(type));
      add(binding, name + ".url", {});
    } else if (!declared_.contains(name + ".url")) {
      reporter_.warn(binding.name.at, "what runs has no resource `" + name + "`",
                     reporter_.suggest(name, resources_of(target_)));
    } else if (type != wanted) {
      reporter_.error(binding.name.at, "resource `" + name + "` has to be of type " + wanted +
                                           ", this one is of type " + type);
      add(binding, name + ".url", {});
    } else {
      for (const auto& [field, value] : fields) add(binding, name + "." + field, value);
    }
  }

  // After a mistake an empty url stands in, so that it is not reported as missing as well.
  void add(const ResourceBinding& binding, std::string param, const Text& value) {
    params_.push_back({{std::move(param), binding.name.at},
                       ParamValue::string(value.value),
                       binding.ref.empty() ? value.at : binding.ref.at});
  }

  void report(Position at, std::string message, std::string hint) {
    if (lenient_)
      reporter_.warn(at, std::move(message), std::move(hint));
    else
      reporter_.error(at, std::move(message), std::move(hint));
  }

  const Documents& documents_;
  const PipelineSpec& target_;
  Reporter& reporter_;
  bool lenient_;
  std::vector<Param>& params_;
  std::unordered_set<std::string> declared_;  // params of what runs
};

}  // namespace

void add_resource_params(const Documents& documents, const PipelineSpec& target,
                         const std::vector<ResourceBinding>& bindings, Reporter& reporter, bool lenient,
                         std::vector<Param>& params) {
  Binder binder(documents, target, reporter, lenient, params);
  for (const ResourceBinding& binding : bindings) binder.bind(binding);
}

}  // namespace kiln::dag
