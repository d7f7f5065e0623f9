#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "executor/pod_env.h"

namespace kiln::executor::testing {

inline dag::KeyValues object(std::string name, std::map<std::string, std::string> values) {
  dag::KeyValues out;
  out.metadata.name.value = std::move(name);
  out.values = std::move(values);
  return out;
}

inline dag::KeyValues& secret(dag::ClusterObjects& objects, const std::string& name,
                              std::map<std::string, std::string> values) {
  return objects.secrets[name] = object(name, std::move(values));
}

inline dag::KeyValues& config_map(dag::ClusterObjects& objects, const std::string& name,
                                  std::map<std::string, std::string> values) {
  return objects.config_maps[name] = object(name, std::move(values));
}

inline PodFacts facts_of(const dag::ClusterObjects& objects) {
  return {.objects = objects,
          .name = "p-pod",
          .uid = "u",
          .node = "n",
          .labels = {},
          .annotations = {},
          .containers = {}};
}

// What the Error says that `act` throws; empty when it throws none.
inline std::string why(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.full();
  }
  return "";
}

}  // namespace kiln::executor::testing
