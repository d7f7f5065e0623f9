#include "executor/options_json.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::executor {

using nlohmann::json;

std::string to_text(const RunOptions& options) {
  json paths = json::array();
  for (const fs::path& path : options.host_paths) paths.push_back(fs::absolute(path).string());
  return json{{"jobs", options.jobs},
              {"allowHostImage", options.allow_host_image},
              {"allowPrivileged", options.allow_privileged},
              {"network", static_cast<int>(options.network)},
              {"hostPaths", std::move(paths)}}
      .dump();
}

RunOptions options_from(std::string_view text) {
  RunOptions out;
  if (text.empty()) return out;
  try {
    const json value = json::parse(text);
    out.jobs = value.at("jobs").get<size_t>();
    out.allow_host_image = value.at("allowHostImage").get<bool>();
    out.allow_privileged = value.at("allowPrivileged").get<bool>();
    out.network = static_cast<steps::Network>(value.at("network").get<int>());
    for (const json& path : value.at("hostPaths")) out.host_paths.emplace_back(path.get<std::string>());
    return out;
  } catch (const json::exception& error) {
    throw Error(ErrorKind::Invalid,
                std::string("malformed options of a run in the journal: ") + error.what());
  }
}

}  // namespace kiln::executor
