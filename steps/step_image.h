#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "registry/image.h"
#include "steps/sandbox.h"

namespace kiln::registry {
class Images;
class Lease;
struct ImageRequest;
}  // namespace kiln::registry

namespace kiln::steps {

struct StepSpec;

// The image of a step, ready to run: its unpacked layers (topmost first) and its configuration.
struct StepImage {
  std::vector<std::filesystem::path> lowers;
  registry::ImageConfig config;
  std::string digest;
  std::shared_ptr<registry::Lease> lease{};  // keeps the layers while this is there
};

// Where steps' images come from; throws kiln::Error.
using ImageSource = std::function<StepImage(const StepSpec& step, std::stop_token stop)>;

// Pulled where needed, and unpacked; `request` is how, but for the policy, which is each step's own. `images`
// has to outlive it.
ImageSource image_source(const registry::Images& images, registry::ImageRequest request);

// A file of the image as its topmost layer has it, at most 1 MiB; nullopt when there is none. Links are
// followed inside the layer only.
std::optional<std::string> read_image_file(const std::vector<std::filesystem::path>& lowers,
                                           std::string_view path);

// Who a step runs as.
struct ImageUser {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;
  std::string home = "/";
};

// `user` is image-spec's config.User: "name", "uid", "name:group", "uid:gid"… resolved with the image's
// /etc/passwd and /etc/group; `run_as_user` and `run_as_group` win over it. Throws Invalid for an unknown
// name.
ImageUser resolve_user(std::string_view user, std::string_view passwd, std::string_view group,
                       std::optional<uint32_t> run_as_user = {}, std::optional<uint32_t> run_as_group = {});

}  // namespace kiln::steps
