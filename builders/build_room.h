#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/open_folder.h"
#include "builders/layer_env.h"
#include "builders/lifecycle.h"
#include "registry/images.h"
#include "steps/host_network.h"
#include "steps/sandbox.h"

namespace kiln::builders {

// Where things are inside a build sandbox (Platform API defaults).
inline constexpr const char* kAppDir = "/workspace";
inline constexpr const char* kLayersDir = "/layers";
inline constexpr const char* kPlatformDir = "/platform";

// What the phases of one build share: the build image's root, its user, and the folders on the host that are
// mounted into every buildpack's sandbox. Its folders live under `folder`, which the caller has locked.
class BuildRoom {
 public:
  BuildRoom(const BuildRequest& request, const registry::Image& build_image,
            std::vector<std::filesystem::path> lowers, steps::SandboxRuntime& runtime,
            std::filesystem::path folder, std::stop_token stop);

  struct Outcome {
    int exit_code = 0;
    std::string output;  // both streams, the last 64 KiB
  };
  // Runs `program` (bin/detect, …) of a buildpack with the app as working directory. It sees the exchange
  // folder of this name and no other. Paths named in `arguments` must be ones that exist inside. Each
  // complete line also goes to `on_line`.
  Outcome run(const Buildpack& buildpack, const std::string& program, const std::string& exchange,
              const std::vector<std::string>& arguments, const EnvMap& env,
              const std::function<void(std::string_view)>& on_line) const;

  // The environment every buildpack program starts from.
  EnvMap base_env(const Buildpack& buildpack) const;
  // The user's variables for the build, unless the buildpack wants none of them. They win over what layers
  // say; folder lists (PATH, CPATH, …) are put in front instead.
  void add_user_env(const Buildpack& buildpack, EnvMap& env) const;
  // A folder of this build that a sandbox sees at /kiln-phase/<name>: plans and outputs pass through it.
  OpenFolder exchange(const std::string& name) const;
  static std::string exchange_inside(const std::string& name) { return "/kiln-phase/" + name; }

  std::filesystem::path app() const { return folder_ / "app"; }
  std::filesystem::path layers() const { return folder_ / "layers"; }
  // Where the buildpack's layers are; made when missing.
  OpenFolder layers(const Buildpack& buildpack) const;
  // The content of one layer; nullopt when there is none.
  std::optional<OpenFolder> layer(const Buildpack& buildpack, const std::string& name) const;
  uint32_t uid() const { return uid_; }
  uint32_t gid() const { return gid_; }
  const BuildRequest& request() const { return request_; }
  const std::stop_token& stop() const { return stop_; }

  // Makes `path` writable for the build user.
  void give(const std::filesystem::path& path) const;

 private:
  const BuildRequest& request_;
  std::vector<std::filesystem::path> lowers_;
  steps::SandboxRuntime& runtime_;
  std::filesystem::path folder_;
  std::stop_token stop_;
  EnvMap image_env_;
  steps::HostNetwork network_;
  std::string architecture_, distro_name_, distro_version_;
  uint32_t uid_ = 0, gid_ = 0;
};

}  // namespace kiln::builders
