#include "executor/origin.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "executor/param_json.h"

namespace kiln::executor {
namespace {

using nlohmann::json;
using Texts = std::map<std::string, std::string>;

dag::ParamValue value_from(const json& value) {
  if (value.is_array()) return dag::ParamValue::array(value.get<std::vector<std::string>>());
  if (value.is_object()) return dag::ParamValue::object(value.get<Texts>());
  return dag::ParamValue::string(value.get<std::string>());
}

std::vector<dag::Param> params_from(const json& list) {
  std::vector<dag::Param> out;
  for (const json& one : list)
    out.push_back({{one.at("name").get<std::string>(), {}}, value_from(one.at("value")), {}});
  return out;
}

json source_json(const dag::VolumeSource& source) {
  json out{{"kind", static_cast<int>(source.kind)}, {"name", source.name.value}};
  if (source.optional) out["optional"] = true;
  if (source.read_only) out["readOnly"] = true;
  if (source.default_mode) out["defaultMode"] = *source.default_mode;
  for (const dag::KeyToPath& item : source.items) {
    json one{{"key", item.key.value}, {"path", item.path.value}};
    if (item.mode) one["mode"] = *item.mode;
    if (item.resource)
      one.update({{"resource", true}, {"container", item.container.value}, {"divisor", item.divisor.value}});
    out["items"].push_back(std::move(one));
  }
  for (const dag::VolumeSource& inner : source.sources) out["sources"].push_back(source_json(inner));
  return out;
}

dag::VolumeSource source_from(const json& value) {
  dag::VolumeSource out;
  out.kind = static_cast<dag::VolumeSource::Kind>(value.at("kind").get<int>());
  out.name.value = value.at("name").get<std::string>();
  out.optional = value.value("optional", false);
  out.read_only = value.value("readOnly", false);
  if (value.contains("defaultMode")) out.default_mode = value.at("defaultMode").get<int64_t>();
  for (const json& item : value.value("items", json::array())) {
    dag::KeyToPath one;
    one.key.value = item.at("key").get<std::string>();
    one.path.value = item.at("path").get<std::string>();
    if (item.contains("mode")) one.mode = item.at("mode").get<int64_t>();
    one.resource = item.value("resource", false);
    one.container.value = item.value("container", "");
    one.divisor.value = item.value("divisor", "");
    out.items.push_back(std::move(one));
  }
  for (const json& inner : value.value("sources", json::array())) out.sources.push_back(source_from(inner));
  return out;
}

json binding_json(const dag::WorkspaceBinding& binding) {
  json out{{"name", binding.name.value}, {"kind", static_cast<int>(binding.kind)}};
  if (!binding.folder.empty()) out["folder"] = binding.folder;
  if (!binding.sub_path.empty()) out["subPath"] = binding.sub_path.value;
  if (binding.kind == dag::WorkspaceBinding::Kind::Volume) out["source"] = source_json(binding.source);
  return out;
}

dag::WorkspaceBinding binding_from(const json& value) {
  dag::WorkspaceBinding out;
  out.name.value = value.at("name").get<std::string>();
  out.kind = static_cast<dag::WorkspaceBinding::Kind>(value.at("kind").get<int>());
  out.folder = value.value("folder", "");
  out.sub_path.value = value.value("subPath", "");
  if (value.contains("source")) out.source = source_from(value.at("source"));
  return out;
}

json request_json(const dag::RunRequest& request) {
  json workspaces = json::array(), within = json::array();
  for (const dag::WorkspaceBinding& binding : request.workspaces) workspaces.push_back(binding_json(binding));
  for (const dag::RunRequest::Level& level : request.within)
    within.push_back({{"task", level.task}, {"params", params_json(level.params)}});
  return {{"target", request.target},
          {"params", request.params},
          {"workspaces", std::move(workspaces)},
          {"within", std::move(within)},
          {"values", params_json(request.values)}};
}

dag::RunRequest request_from(const json& value) {
  dag::RunRequest out;
  out.target = value.at("target").get<std::string>();
  out.params = value.at("params").get<std::vector<std::pair<std::string, std::string>>>();
  for (const json& binding : value.at("workspaces")) out.workspaces.push_back(binding_from(binding));
  for (const json& level : value.at("within"))
    out.within.push_back({level.at("task").get<std::string>(), params_from(level.at("params"))});
  out.values = params_from(value.at("values"));
  return out;
}

}  // namespace

json origin_of(const dag::Plan& plan) {
  return {{"request", request_json(plan.request)}, {"sources", plan.sources}, {"remote", plan.remote}};
}

dag::Plan plan_of(const json& origin) {
  const std::string why = "it was made by another version of kiln: ";
  try {
    dag::Compiled compiled =
        dag::recompile(origin.at("sources").get<Texts>(), origin.at("remote").get<Texts>(),
                       request_from(origin.at("request")));
    if (compiled.plan) return std::move(*compiled.plan);
    for (const Diagnostic& diagnostic : compiled.diagnostics)
      if (diagnostic.severity == Severity::Error) throw Error(ErrorKind::Invalid, why + diagnostic.message);
    throw Error(ErrorKind::Invalid, why + "it makes no plan");
  } catch (const json::exception& error) {
    throw Error(ErrorKind::Invalid, why + error.what());
  }
}

}  // namespace kiln::executor
