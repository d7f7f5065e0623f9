#include "executor/pod_env.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "dag/quantity.h"
#include "executor/pod_spec.h"

namespace kiln::executor {
namespace {

constexpr size_t kObjectLimit = 1u << 20;

std::string described(bool secret, const std::string& name) {
  return (secret ? "Secret \"" : "ConfigMap \"") + name + "\"";
}

std::vector<std::string> names_of(const std::map<std::string, dag::KeyValues>& objects) {
  std::vector<std::string> out;
  for (const auto& [name, object] : objects) out.push_back(name);
  return out;
}

const std::map<std::string, dag::KeyValues>& objects_of(const PodFacts& facts, bool secret) {
  return secret ? facts.objects.secrets : facts.objects.config_maps;
}

bool exists(const PodFacts& facts, bool secret, const std::string& name) {
  return objects_of(facts, secret).contains(name);
}

// C_IDENTIFIER of Kubernetes, with the dots and dashes that it also takes.
bool is_variable_name(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '.';
  };
  return !name.empty() && letter(name[0]) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

std::string literal(const std::string& value) {
  return replace_all(value, "$", "$$");
}

// `metadata.labels['x']`: x; empty when the path is not one of `map`.
std::string_view subscript(std::string_view path, std::string_view map) {
  if (!path.starts_with(map) || !path.ends_with("']")) return {};
  path.remove_prefix(map.size());
  if (!path.starts_with("['") || path.size() < 5) return {};
  return path.substr(2, path.size() - 4);
}

std::string lines_of(const dag::Labels& map) {
  std::string out;
  for (const auto& [key, value] : map)
    out += key + "=\"" +
           replace_all(replace_all(replace_all(value, "\\", "\\\\"), "\"", "\\\""), "\n", "\\n") + "\"\n";
  if (!out.empty()) out.pop_back();
  return out;
}

double amount(const dag::Text& text, double otherwise) {
  if (text.empty()) return otherwise;
  const auto value = dag::parse_quantity(text.value);
  if (!value) throw Error(ErrorKind::Invalid, "\"" + text.value + "\" is not a quantity");
  return *value;
}

}  // namespace

const dag::KeyValues& find_object(const PodFacts& facts, bool secret, const std::string& name) {
  const auto& objects = objects_of(facts, secret);
  const auto found = objects.find(name);
  if (found == objects.end()) {
    const std::vector<std::string> known = names_of(objects);
    throw Error(ErrorKind::Invalid, described(secret, name) + " is not among the documents loaded",
                "loaded: " + (known.empty() ? "none" : join(known, ", ")));
  }
  size_t size = 0;
  for (const auto& [key, value] : found->second.values) size += value.size();
  if (size > kObjectLimit)
    throw Error(ErrorKind::Invalid,
                described(secret, name) + " holds " + format_bytes(size) + "; at most " +
                    format_bytes(kObjectLimit) + " are allowed",
                "put large files into a workspace");
  return found->second;
}

std::string pod_field(const PodFacts& facts, std::string_view path) {
  if (path == "metadata.name") return facts.name;
  if (path == "metadata.namespace") return facts.name_space;
  if (path == "metadata.uid") return facts.uid;
  if (path == "spec.nodeName") return facts.node;
  if (path == "spec.serviceAccountName") return facts.service_account;
  if (path == "status.podIP" || path == "status.podIPs" || path == "status.hostIP" ||
      path == "status.hostIPs")
    return "127.0.0.1";
  for (const auto& [name, map] :
       {std::pair{"metadata.labels", &facts.labels}, std::pair{"metadata.annotations", &facts.annotations}}) {
    if (path == name) return lines_of(*map);
    if (const std::string_view key = subscript(path, name); !key.empty()) {
      const auto found = map->find(std::string(key));
      return found == map->end() ? "" : found->second;
    }
  }
  throw Error(ErrorKind::Invalid,
              "fieldRef \"" + std::string(path) + "\" is no field of a pod that Kiln knows");
}

std::string container_resource(const PodFacts& facts, const dag::ComputeResources& resources,
                               std::string_view resource, std::string_view divisor) {
  double value = 0;
  if (resource == "limits.cpu")
    value = amount(resources.cpu_limit, facts.machine_cpus);
  else if (resource == "limits.memory")
    value = amount(resources.memory_limit, facts.machine_memory);
  else if (resource == "requests.cpu")  // a request that nobody made is the limit, if there is one
    value = amount(resources.cpu_request, amount(resources.cpu_limit, 0));
  else if (resource == "requests.memory")
    value = amount(resources.memory_request, amount(resources.memory_limit, 0));
  else if (resource != "limits.ephemeral-storage" && resource != "requests.ephemeral-storage")
    throw Error(ErrorKind::Invalid,
                "resourceFieldRef \"" + std::string(resource) + "\" is no resource that Kiln knows");
  const auto unit =
      divisor.empty() || divisor == "0" ? std::optional<double>(1) : dag::parse_quantity(divisor);
  if (!unit || *unit <= 0)
    throw Error(ErrorKind::Invalid, "the divisor \"" + std::string(divisor) + "\" is not a quantity above 0");
  return std::to_string(static_cast<uint64_t>(std::ceil(value / *unit - 1e-9)));
}

std::string container_resource(const PodFacts& facts, const std::string& container,
                               const dag::ComputeResources* own, std::string_view resource,
                               std::string_view divisor) {
  if (container.empty() && own != nullptr) return container_resource(facts, *own, resource, divisor);
  const auto found = facts.containers.find(container);
  if (found == facts.containers.end())
    throw Error(ErrorKind::Invalid,
                "resourceFieldRef names the container \"" + container + "\", which is not in the pod",
                "a step's container is called step-NAME");
  return container_resource(facts, found->second, resource, divisor);
}

std::vector<std::pair<std::string, std::string>> container_env(const dag::Container& container,
                                                               const PodFacts& facts) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const dag::EnvFrom& from : container.env_from) {
    if (from.optional && !exists(facts, from.secret, from.name)) continue;
    for (const auto& [key, value] : find_object(facts, from.secret, from.name).values)
      if (is_variable_name(from.prefix.value + key))
        out.emplace_back(from.prefix.value + key, literal(value));
  }
  for (const dag::EnvVar& variable : container.env) {
    switch (variable.from) {
      case dag::EnvVar::From::Value:
        out.emplace_back(variable.name, variable.value);
        break;
      case dag::EnvVar::From::Field:
        out.emplace_back(variable.name, literal(pod_field(facts, variable.key.value)));
        break;
      case dag::EnvVar::From::ResourceField:
        out.emplace_back(variable.name, container_resource(facts, variable.object, &container.resources,
                                                           variable.key.value, variable.divisor.value));
        break;
      case dag::EnvVar::From::ConfigMapKey:
      case dag::EnvVar::From::SecretKey: {
        const bool secret = variable.from == dag::EnvVar::From::SecretKey;
        if (variable.optional && !exists(facts, secret, variable.object)) break;
        const auto& values = find_object(facts, secret, variable.object).values;
        if (const auto value = values.find(variable.key); value != values.end())
          out.emplace_back(variable.name, literal(value->second));
        else if (!variable.optional)
          throw Error(ErrorKind::Invalid, described(secret, variable.object) + " has no key \"" +
                                              variable.key.value + "\" for the variable " +
                                              variable.name.value);
        break;
      }
    }
  }
  for (const auto& [name, value] : out)  // it would end the value, and start another variable
    if (value.find('\0') != std::string::npos)
      throw Error(ErrorKind::Invalid, "the variable " + name + " would hold a NUL byte",
                  "binary values can be mounted as files");
  return out;
}

}  // namespace kiln::executor
