#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "builders/buildpack.h"
#include "builders/layer_writer.h"
#include "registry/images.h"
#include "steps/sandbox.h"

namespace kiln::builders {

// What to build an image from.
struct BuildRequest {
  std::filesystem::path source;                  // the application's folder; never written to
  std::string image;                             // name the result gets in the store
  std::string build_image = "kiln/build";        // where buildpacks run
  std::string run_image = "kiln/run";            // what the result stands on, unless an extension switches it
  std::map<std::string, std::string> build_env;  // platform variables (`--env`): <platform>/env
  std::optional<std::filesystem::path> buildpacks;  // folder with order.toml; default: Kiln's own
  bool clear_cache = false;
};

// One layer of the result and where its bytes came from.
struct LayerReport {
  std::string name;
  std::string created_by;
  uint64_t size = 0;    // compressed
  bool reused = false;  // not compressed again
};

struct BuildResult {
  registry::Descriptor manifest;
  std::vector<LayerReport> layers;       // those above the run image
  std::map<std::string, double> phases;  // "detect", "build", "export" → seconds
  std::vector<std::string> buildpacks;   // id@version that took part
};

// Receives what the build says, line by line. `source` is the buildpack's id, or "" for the lifecycle itself.
using BuildLog = std::function<void(std::string_view source, std::string_view line)>;

// The buildpack lifecycle (Buildpack API 0.10, Platform API 0.12 roles): detect, restore, build, export, each
// buildpack in a sandbox of the build image as the image's CNB user. Layers marked `cache` stay on disk
// between builds of the same image name; one build per image name at a time (a file lock).
class Lifecycle {
 public:
  Lifecycle(const registry::Images& images, steps::SandboxRuntime& runtime, std::filesystem::path cache);

  // Throws Failed when detection finds no group (the message carries every buildpack's reason) or a buildpack
  // fails; the store's earlier image of the same name then stays as it was.
  BuildResult build(const BuildRequest& request, const BuildLog& log, std::stop_token stop = {});

 private:
  const registry::Images& images_;
  steps::SandboxRuntime& runtime_;
  std::filesystem::path cache_;
};

}  // namespace kiln::builders
