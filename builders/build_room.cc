#include "builders/build_room.h"

#include <charconv>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "builders/app_source.h"

namespace kiln::builders {
namespace {

constexpr size_t kOutputLimit = 64 << 10;
constexpr size_t kLineLimit = 16 << 10;  // what has no line feed is shown in pieces of this size

uint32_t number_from(const EnvMap& env, const char* name, const std::string& image) {
  const auto found = env.find(name);
  uint32_t value = 0;
  if (found != env.end()) {
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc{} && end == text.data() + text.size()) return value;
  }
  throw Error(ErrorKind::Invalid, "image " + image + " is no buildpack build image: " + name + " is not set",
              "use one made by `kiln stack create`");
}

// Splits a stream into lines as it comes.
class Lines {
 public:
  explicit Lines(const std::function<void(std::string_view)>& sink) : sink_(sink) {}
  void add(std::string_view bytes) {
    pending_ += bytes;
    size_t begin = 0;
    for (size_t end; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1)
      if (sink_) sink_(std::string_view(pending_).substr(begin, end - begin));
    pending_.erase(0, begin);
    if (pending_.size() > kLineLimit) finish();
  }
  void finish() {
    if (!pending_.empty() && sink_) sink_(pending_);
    pending_.clear();
  }

 private:
  const std::function<void(std::string_view)>& sink_;
  std::string pending_;
};

}  // namespace

BuildRoom::BuildRoom(const BuildRequest& request, const registry::Image& build_image,
                     std::vector<fs::path> lowers, steps::SandboxRuntime& runtime, fs::path folder,
                     std::stop_token stop)
    : request_(request),
      lowers_(std::move(lowers)),
      runtime_(runtime),
      folder_(std::move(folder)),
      stop_(std::move(stop)) {
  for (const std::string& variable : build_image.config.env) {
    const size_t equals = variable.find('=');
    image_env_[variable.substr(0, equals)] = equals == std::string::npos ? "" : variable.substr(equals + 1);
  }
  uid_ = number_from(image_env_, "CNB_USER_ID", request.build_image);
  gid_ = number_from(image_env_, "CNB_GROUP_ID", request.build_image);
  architecture_ = build_image.config.architecture;
  const auto& labels = build_image.config.labels;
  if (auto it = labels.find("io.buildpacks.base.distro.name"); it != labels.end()) distro_name_ = it->second;
  if (auto it = labels.find("io.buildpacks.base.distro.version"); it != labels.end())
    distro_version_ = it->second;

  remove_tree(app());
  copy_source(request.source, app(), uid_, gid_);
  for (const char* name : {"layers", "home"}) {
    make_dirs(folder_ / name);
    give(folder_ / name);
  }
  remove_tree(folder_ / "phase");
  remove_tree(folder_ / "platform");
  make_dirs(folder_ / "phase");
  make_dirs(folder_ / "platform" / "env");
  network_ = steps::host_network(current_environment(), folder_);
  for (const auto& [name, value] : request.build_env) {
    if (name.empty() || name == "." || name == ".." || name.find_first_of("/=") != std::string::npos)
      throw Error(ErrorKind::Usage, "\"" + name + "\" is no name for a build variable",
                  "write --env NAME=value");
    write_file(folder_ / "platform" / "env" / name, value);
  }
}

void BuildRoom::give(const fs::path& path) const {
  give_to(path, uid_, gid_);
}

OpenFolder BuildRoom::exchange(const std::string& name) const {
  const fs::path path = folder_ / "phase" / name;  // `phase` is ours alone, so this is what we made
  if (!fs::exists(path)) {
    make_dirs(path);
    give(path);
  }
  return OpenFolder(path);
}

OpenFolder BuildRoom::layers(const Buildpack& buildpack) const {
  return OpenFolder(layers()).make_folder(buildpack.escaped_id());
}

std::optional<OpenFolder> BuildRoom::layer(const Buildpack& buildpack, const std::string& name) const {
  const auto folder = OpenFolder(layers()).find_folder(buildpack.escaped_id());
  return folder ? folder->find_folder(name) : std::nullopt;
}

void BuildRoom::add_user_env(const Buildpack& buildpack, EnvMap& env) const {
  if (buildpack.clear_env) return;
  for (const auto& [name, value] : request_.build_env) {
    const bool is_list = name == "PATH" || name == "LD_LIBRARY_PATH" || name == "LIBRARY_PATH" ||
                         name == "CPATH" || name == "PKG_CONFIG_PATH";
    std::string& current = env[name];
    current = is_list && !current.empty() ? value + ":" + current : value;
  }
}

EnvMap BuildRoom::base_env(const Buildpack& buildpack) const {
  EnvMap env = image_env_;
  for (const std::string& variable : network_.env) {
    const size_t equals = variable.find('=');
    env[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  env["HOME"] = "/home/cnb";
  env["CNB_PLATFORM_DIR"] = kPlatformDir;
  env[buildpack.extension ? "CNB_EXTENSION_DIR" : "CNB_BUILDPACK_DIR"] =
      "/cnb/" + std::string(buildpack.extension ? "extensions/" : "buildpacks/") + buildpack.escaped_id() +
      "/" + buildpack.version;
  env["CNB_TARGET_OS"] = "linux";
  env["CNB_TARGET_ARCH"] = architecture_;
  env["CNB_TARGET_DISTRO_NAME"] = distro_name_;
  env["CNB_TARGET_DISTRO_VERSION"] = distro_version_;
  return env;
}

BuildRoom::Outcome BuildRoom::run(const Buildpack& buildpack, const std::string& program,
                                  const std::string& exchange, const std::vector<std::string>& arguments,
                                  const EnvMap& env,
                                  const std::function<void(std::string_view)>& on_line) const {
  const std::string inside = env.at(buildpack.extension ? "CNB_EXTENSION_DIR" : "CNB_BUILDPACK_DIR");
  steps::SandboxSpec spec;
  spec.id = "build-" + buildpack.escaped_id() + "-" + random_hex(4);
  spec.rootfs.lowers = lowers_;
  using Mount = steps::Mount;
  spec.mounts = {
      {.kind = Mount::Kind::Bind, .source = app(), .destination = kAppDir},
      {.kind = Mount::Kind::Bind, .source = layers(), .destination = kLayersDir},
      {.kind = Mount::Kind::Bind,
       .source = folder_ / "platform",
       .destination = kPlatformDir,
       .read_only = true},
      {.kind = Mount::Kind::Bind, .source = folder_ / "home", .destination = "/home/cnb"},
      {.kind = Mount::Kind::Bind,
       .source = folder_ / "phase" / exchange,
       .destination = exchange_inside(exchange)},
      {.kind = Mount::Kind::Bind, .source = buildpack.folder, .destination = inside, .read_only = true},
      {.kind = Mount::Kind::Tmpfs, .source = {}, .destination = "/tmp", .size = 1u << 30}};
  for (const Mount& mount : network_.mounts) spec.mounts.push_back(mount);
  spec.args = {inside + "/" + program};
  spec.args.insert(spec.args.end(), arguments.begin(), arguments.end());
  for (const auto& [name, value] : env) spec.env.push_back(name + "=" + value);
  spec.cwd = kAppDir;
  spec.uid = uid_;
  spec.gid = gid_;

  Outcome outcome;
  Lines lines(on_line);
  const steps::RunResult result = steps::run_to_end(
      runtime_, spec,
      [&](bool, std::string_view bytes) {
        outcome.output += bytes;
        if (outcome.output.size() > 2 * kOutputLimit)
          outcome.output.erase(0, outcome.output.size() - kOutputLimit);
        lines.add(bytes);
      },
      stop_);
  lines.finish();
  if (result.cancelled) throw Error(ErrorKind::Cancelled, "the build was cancelled");
  if (!result.status.started)
    throw Error(ErrorKind::Failed,
                buildpack.full_name() + ": cannot run " + program + ": " + result.status.message);
  outcome.exit_code = result.status.code;
  return outcome;
}

}  // namespace kiln::builders
