#pragma once

#include <nlohmann/json.hpp>

#include "serving/records.h"

// The API objects as Knative shows them: metadata, spec, and a status with conditions.
namespace kiln::serving {

// `revisions` are those of the service; `authority` is how URLs name this server ("localhost:8080",
// "https://localhost:8443").
nlohmann::json service_json(const ServiceRecord& service, const std::vector<RevisionRecord>& revisions,
                            const std::string& domain, const std::string& authority);
nlohmann::json configuration_json(const ServiceRecord& service, const std::vector<RevisionRecord>& revisions);
nlohmann::json route_json(const ServiceRecord& service, const std::vector<RevisionRecord>& revisions,
                          const std::string& domain, const std::string& authority);
nlohmann::json revision_json(const RevisionRecord& revision, bool routed, int instances);

// "http://hello.default.localhost:8080"
std::string service_url(const std::string& name, const std::string& name_space, const std::string& domain,
                        const std::string& authority);

}  // namespace kiln::serving
