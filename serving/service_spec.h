#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace kiln::serving {

// A share of a Route's traffic (serving.knative.dev/v1 TrafficTarget).
struct TrafficTarget {
  std::string revision;  // empty with `latest`
  bool latest = false;
  int percent = 0;
  std::string tag;
};

// What a user asks for: a serving.knative.dev/v1 Service, defaulted and checked. `revision_template` keeps
// the document as it was given, so that two templates can be compared and a Revision shows what was asked.
struct ServiceSpec {
  std::string name_space = "default";
  std::string name;
  std::map<std::string, std::string> labels, annotations;
  nlohmann::json revision_template;    // {"metadata": …, "spec": …}
  std::vector<TrafficTarget> traffic;  // never empty: no traffic block means 100 % latest

  // Throws Invalid with every problem, one per line, each with its field path, as Knative's webhook words
  // them. Fields that this server cannot honour (volumes, envFrom, …) are problems, too: silence would be a
  // lie.
  static ServiceSpec parse(const nlohmann::json& document);
  // What parse() accepted once, as to_json() wrote it. Checks that came later do not count. Never throws.
  static ServiceSpec stored(const nlohmann::json& document);
  nlohmann::json to_json() const;  // apiVersion, kind, metadata, spec
};

// What an instance of a revision needs to know, read from its template (one that ServiceSpec::parse accepted;
// of any other, what can be read).
struct ContainerSettings {
  std::string image;
  std::vector<std::string> command, args;
  std::map<std::string, std::string> env;
  std::string working_dir;
  int port = 8080;
  int concurrency = 0;  // 0: no limit
  std::chrono::seconds timeout{300};
  uint64_t memory_bytes = 0;
  double cpus = 0;
  int min_scale = 0, max_scale = 0;             // 0: none
  std::chrono::seconds window{60};              // idle this long, plus the grace period, and it goes to zero
  std::chrono::seconds progress_deadline{600};  // for the first instance to become ready
  static ContainerSettings of(const nlohmann::json& revision_template);
};

}  // namespace kiln::serving
