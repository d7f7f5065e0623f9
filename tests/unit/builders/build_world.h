#pragma once

#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "builders/lifecycle.h"
#include "registry/client.h"
#include "registry/images.h"
#include "registry/store/store.h"
#include "steps/sandbox.h"
#include "tests/unit/builders/tar_reader.h"

namespace kiln::builders {

// A store with tiny build and run images, an application, and buildpacks that the test writes as shell
// scripts. The images have folders and links only: the programs are the host's, mounted read-only.
class BuildWorld {
 public:
  static constexpr const char* kImage = "test/app:latest";

  BuildWorld();

  // An empty script is no program at all.
  void buildpack(const std::string& id, const std::string& detect, const std::string& build,
                 const std::string& descriptor_lines = {});
  void extension(const std::string& id, const std::string& generate);
  // "a b?": one group, "?" for optional members. Called again it adds the next group.
  void group(const std::string& members);
  void source(const std::string& name, const std::string& content);
  void run_image(const std::string& name);

  BuildResult build();
  Error failure();  // of a build that must fail

  registry::Image image() const;
  // Everything in the layers that the image has above its run image, by name.
  std::map<std::string, ReadEntry> files() const;
  std::vector<std::string> layer_names(const BuildResult& result) const;
  std::string label(const std::string& name) const { return image().config.labels.at(name); }
  // The layers, home and so on that are kept for the next build.
  fs::path kept() const;
  registry::Store& store() { return store_; }
  const std::string& log() const { return log_; }

  BuildRequest request;

 private:
  class HostPrograms;
  void script(const fs::path& file, const std::string& text);
  void put_image(const std::string& name, const std::vector<std::string>& env);

  TempDir dir_;
  registry::Store store_;
  registry::Client client_;
  registry::Images images_;
  std::unique_ptr<steps::SandboxRuntime> runtime_;
  std::mutex log_mutex_;
  std::string log_, order_, extensions_;
};

// launch.toml for one process, as a line of a build script.
inline constexpr const char* kWeb =
    "printf '[[processes]]\\ntype = \"web\"\\ncommand = [\"serve\"]\\ndefault = true\\n' > "
    "\"$1/launch.toml\"\n";

}  // namespace kiln::builders
