#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dag/plan.h"

namespace kiln::executor {

// What a pod's containers may ask of the world they run in: objects by name, and Kubernetes' Downward API.
struct PodFacts {
  const dag::ClusterObjects& objects;
  std::string name, uid;
  std::string name_space = "default";
  std::string service_account = "default";
  std::string node;  // this machine's name
  dag::Labels labels, annotations;
  std::map<std::string, dag::ComputeResources> containers;  // by name: "step-build"
  double machine_cpus = 0, machine_memory = 0;              // what a limit is that nobody set
};

// A ConfigMap or Secret. Throws Invalid when it is not there or larger than Kubernetes would take (1 MiB).
const dag::KeyValues& find_object(const PodFacts& facts, bool secret, const std::string& name);

// The value of a `fieldRef`: addresses are this machine's own. "metadata.labels" and "metadata.annotations"
// as a whole are lines of key="value". Throws Invalid for a path that it does not know.
std::string pod_field(const PodFacts& facts, std::string_view path);

// The value of a `resourceFieldRef`, in units of the divisor, rounded up. Throws Invalid.
std::string container_resource(const PodFacts& facts, const dag::ComputeResources& resources,
                               std::string_view resource, std::string_view divisor);
// Likewise of a container by name; `own` when the name is empty.
std::string container_resource(const PodFacts& facts, const std::string& container,
                               const dag::ComputeResources* own, std::string_view resource,
                               std::string_view divisor);

// A container's environment: envFrom first, then env, so that the last of a name wins. `$` of what does not
// stand in the document is doubled, since only a document's own `value` may refer to other variables. As in
// Kubernetes, envFrom leaves out keys that are no names of variables, and an optional value that is not there
// leaves out its variable. Throws Invalid.
std::vector<std::pair<std::string, std::string>> container_env(const dag::Container& container,
                                                               const PodFacts& facts);

}  // namespace kiln::executor
