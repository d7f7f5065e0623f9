#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/sqlite.h"
#include "serving/service_spec.h"

namespace kiln::serving {

enum class RevisionState { Deploying, Ready, Failed };

// A revision as it is kept: immutable but for its state.
struct RevisionRecord {
  std::string name_space, name, service;
  int64_t generation = 0;
  nlohmann::json revision_template;
  std::string image_digest;  // empty until resolved
  RevisionState state = RevisionState::Deploying;
  std::string reason, message;  // why Failed
  std::string created;          // RFC 3339
};

struct ServiceRecord {
  ServiceSpec spec;
  int64_t generation = 1;           // grows with every change of the spec
  int64_t template_generation = 1;  // of the configuration: grows with every new template
  std::string uid, created;
  std::string latest_created, latest_ready;  // revision names
};

// Services and revisions in kiln.db. What a call returns from is on disk. Not thread-safe: belongs to the
// server's I/O thread.
class Records {
 public:
  explicit Records(const std::filesystem::path& database);

  std::vector<ServiceRecord> services();
  std::optional<ServiceRecord> service(const std::string& name_space, const std::string& name);
  void save(const ServiceRecord& service);
  // The service and all its revisions.
  void remove(const std::string& name_space, const std::string& name);

  std::vector<RevisionRecord> revisions(const std::string& name_space, const std::string& service = {});
  std::optional<RevisionRecord> revision(const std::string& name_space, const std::string& name);
  void save(const RevisionRecord& revision);
  void save(const ServiceRecord& service, const RevisionRecord& revision);  // both or neither

 private:
  Database database_;
};

}  // namespace kiln::serving
