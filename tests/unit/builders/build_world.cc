#include "tests/unit/builders/build_world.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "builders/tree_entries.h"
#include "registry/image.h"

namespace kiln::builders {

class BuildWorld::HostPrograms final : public steps::SandboxRuntime {
 public:
  explicit HostPrograms(const fs::path& folder) : native_(steps::make_runtime("native", folder)) {}
  std::unique_ptr<steps::Sandbox> start(const steps::SandboxSpec& spec,
                                        const steps::Streams& streams) override {
    steps::SandboxSpec with_programs = spec;
    with_programs.mounts.insert(with_programs.mounts.begin(),
                                {.source = "/usr", .destination = "/usr", .read_only = true});
    return native_->start(with_programs, streams);
  }

 private:
  std::unique_ptr<steps::SandboxRuntime> native_;
};

BuildWorld::BuildWorld()
    : store_(dir_.path() / "store"),
      images_(store_, client_),
      runtime_(std::make_unique<HostPrograms>(dir_.path() / "run")) {
  make_dirs(dir_.path() / "source");
  make_dirs(dir_.path() / "builder");
  put_image("kiln/build:latest", {"PATH=/usr/bin:/bin", "CNB_USER_ID=1000", "CNB_GROUP_ID=1000"});
  run_image("kiln/run:latest");
  request.source = dir_.path() / "source";
  request.image = kImage;
  request.buildpacks = dir_.path() / "builder";
}

void BuildWorld::put_image(const std::string& name, const std::vector<std::string>& env) {
  LayerWriter writer(store_);
  TarWriter tar([&](std::string_view bytes) { writer.write(bytes); });
  const std::string passwd = "root:x:0:0::/root:/bin/sh\ncnb:x:1000:1000::/home/cnb:/bin/sh\n";
  for (const char* folder : {"etc", "etc/ssl", "etc/ssl/certs", "home", "home/cnb", "tmp", "usr"})
    tar.entry({.kind = TarEntry::Kind::Folder, .name = folder, .mode = 0755});
  for (const char* link : {"bin", "lib", "lib64", "sbin"})
    tar.entry(
        {.kind = TarEntry::Kind::Symlink, .name = link, .link = "usr/" + std::string(link), .mode = 0777});
  tar.entry({.name = "etc/passwd", .size = passwd.size()});
  tar.content(passwd);
  tar.entry({.name = "etc/" + replace_all(name, "/", "-"), .size = 0});  // so that no two images are the same
  tar.finish();
  const Layer layer = writer.finish();
  registry::ImageConfig config;
  config.architecture = registry::machine_architecture();
  config.user = "1000:1000";
  config.env = env;
  config.labels = {{"io.buildpacks.base.distro.name", "debian"}, {"io.buildpacks.base.distro.version", "12"}};
  config.diff_ids = {layer.diff_id};
  registry::Manifest manifest;
  manifest.layers = {layer.descriptor};
  manifest.config = store_.put(registry::serialize(config), registry::media::kConfig);
  store_.tag(name, store_.put(registry::serialize(manifest), registry::media::kManifest));
}

void BuildWorld::run_image(const std::string& name) {
  put_image(name, {"PATH=/usr/bin:/bin"});
}

void BuildWorld::script(const fs::path& file, const std::string& text) {
  if (text.empty()) return;
  make_dirs(file.parent_path());
  fs::remove(file);
  write_file(file, "#!/bin/sh\nset -e\n" + text + "\n", 0755);
}

void BuildWorld::buildpack(const std::string& id, const std::string& detect, const std::string& build,
                           const std::string& descriptor_lines) {
  const fs::path folder = dir_.path() / "builder/buildpacks" / replace_all(id, "/", "_");
  make_dirs(folder);
  write_file(folder / "buildpack.toml", "api = \"0.10\"\n[buildpack]\nid = \"" + id +
                                            "\"\nversion = \"1.0.0\"\n" + descriptor_lines + "\n");
  script(folder / "bin/detect", detect);
  script(folder / "bin/build", build);
}

void BuildWorld::extension(const std::string& id, const std::string& generate) {
  const fs::path folder = dir_.path() / "builder/extensions" / replace_all(id, "/", "_");
  make_dirs(folder);
  write_file(folder / "extension.toml",
             "api = \"0.10\"\n[extension]\nid = \"" + id + "\"\nversion = \"1.0.0\"\n");
  script(folder / "bin/generate", generate);
  extensions_ += "[[order-extensions]]\n[[order-extensions.group]]\nid = \"" + id + "\"\n";
}

void BuildWorld::group(const std::string& members) {
  order_ += "[[order]]\n";
  for (const std::string& member : split(members, ' ')) {
    const bool optional = member.ends_with('?');
    order_ += "[[order.group]]\nid = \"" + member.substr(0, member.size() - optional) +
              "\"\noptional = " + (optional ? "true" : "false") + "\n";
  }
}

void BuildWorld::source(const std::string& name, const std::string& content) {
  make_dirs((request.source / name).parent_path());
  write_file(request.source / name, content);
}

BuildResult BuildWorld::build() {
  log_.clear();
  write_file(dir_.path() / "builder/order.toml", order_ + extensions_);
  Lifecycle lifecycle(images_, *runtime_, dir_.path() / "cache");
  return lifecycle.build(request, [&](std::string_view from, std::string_view line) {
    const std::lock_guard lock(log_mutex_);
    log_ += std::string(from) + ": " + std::string(line) + "\n";
  });
}

Error BuildWorld::failure() {
  try {
    build();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "the build should have failed";
  return Error(ErrorKind::Failed, "the build did not fail");
}

registry::Image BuildWorld::image() const {
  return store_.load(store_.resolve(kImage).value());
}

std::map<std::string, ReadEntry> BuildWorld::files() const {
  std::map<std::string, ReadEntry> files;
  const registry::Manifest manifest = image().manifest;
  for (size_t i = 1; i < manifest.layers.size(); ++i)
    for (ReadEntry& entry : read_tar(read_file(store_.blob_path(manifest.layers[i].digest))))
      files[entry.name] = std::move(entry);
  return files;
}

std::vector<std::string> BuildWorld::layer_names(const BuildResult& result) const {
  std::vector<std::string> names;
  for (const LayerReport& layer : result.layers)
    names.push_back(layer.name + (layer.reused ? " reused" : ""));
  return names;
}

fs::path BuildWorld::kept() const {
  return dir_.path() / "cache/build" / sha256(kImage).short_text();
}

}  // namespace kiln::builders
