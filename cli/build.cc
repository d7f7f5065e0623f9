#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "builders/lifecycle.h"
#include "cli/context.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/push.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "registry/images.h"
#include "registry/reference.h"

namespace kiln::cli {
namespace {

struct BuildOptions {
  std::string folder = ".", tag, builder, build_image = "kiln/build", run_image = "kiln/run";
  std::string metadata_file, digest_file, url_file;
  std::vector<std::string> env;
  bool push = false, clear_cache = false, json = false;
};

void report(const builders::BuildResult& result, const std::string& name) {
  for (const auto& layer : result.layers)
    say("  " + std::string(layer.reused ? paint(Colour::Green, "CACHED ") : "created") + "  " + layer.name +
        "  " + format_bytes(layer.size));
  std::string phases;
  for (const char* phase : {"prepare", "detect", "build", "export"})
    if (const auto found = result.phases.find(phase); found != result.phases.end())
      phases += (phases.empty() ? "" : ", ") + std::string(phase) + " " + format_seconds(found->second);
  say("built " + name + "@" + result.manifest.digest.text() + " (" + phases + ")");
}

void build(const BuildOptions& options, Context& context) {
  if (fs::exists(fs::path(options.folder) / "Dockerfile") && options.builder.empty())
    say("note: there is a Dockerfile, but images are built with buildpacks here");
  const registry::Reference reference = registry::Reference::parse(options.tag);
  if (options.push && reference.is_local())
    throw Error(ErrorKind::Usage, options.tag + " names no registry to push to",
                "e.g. --tag localhost:8080/hello");
  builders::BuildRequest request;
  request.source = options.folder;
  request.image = reference.familiar;
  request.build_image = options.build_image;
  request.run_image = options.run_image;
  for (const std::string& pair : options.env) {
    auto [name, value] = split_pair("--env", pair);
    request.build_env[name] = std::move(value);
  }
  request.clear_cache = options.clear_cache;
  if (!options.builder.empty()) request.buildpacks = options.builder;

  builders::Lifecycle lifecycle(context.images(), context.runtime(), context.dirs().cache);
  const builders::BuildResult result = lifecycle.build(
      request,
      [](std::string_view source, std::string_view line) {
        say((source.empty() ? "" : paint(Colour::Dim, "[" + std::string(source) + "] ")) + std::string(line));
      },
      context.stop());
  report(result, reference.familiar);
  if (options.push)
    push_image(context, reference.familiar, {registry::ImagePlace::Kind::Registry, reference.familiar, {}});

  const std::string url =
      reference.is_local() ? reference.repository : reference.host + "/" + reference.repository;
  if (!options.digest_file.empty()) write_file(options.digest_file, result.manifest.digest.text());
  if (!options.url_file.empty()) write_file(options.url_file, url);
  const nlohmann::json metadata = {{"image.name", reference.familiar},
                                   {"containerimage.digest", result.manifest.digest.text()},
                                   {"containerimage.descriptor", registry::to_json(result.manifest)},
                                   {"buildpacks", result.buildpacks}};
  if (!options.metadata_file.empty()) write_file(options.metadata_file, json_text(metadata));
  print(options.json ? json_text(metadata) : reference.familiar + "@" + result.manifest.digest.text() + "\n");
}

}  // namespace

void add_build(CLI::App& app, Context& context) {
  auto options = std::make_shared<BuildOptions>();
  CLI::App* verb = app.add_subcommand("build",
                                      "Build an image from source with buildpacks\n\n"
                                      "  kiln build . -t localhost:8080/hello --push\n");
  verb->add_option("folder", options->folder, "The application")->capture_default_str();
  verb->add_option("-t,--tag,--destination", options->tag, "Name of the image")->required();
  verb->add_flag("--push", options->push, "Push it to its registry afterwards");
  verb->add_option("--builder", options->builder,
                   "Folder with order.toml and buildpacks/; default: Kiln's own");
  verb->add_option("--build-image", options->build_image, "Image that buildpacks run in")
      ->capture_default_str();
  verb->add_option("--run-image", options->run_image, "Image the result stands on")->capture_default_str();
  verb->add_option("-e,--env", options->env, "NAME=value for the buildpacks");
  verb->add_flag("--clear-cache", options->clear_cache, "Forget what earlier builds kept");
  verb->add_option("--metadata-file", options->metadata_file, "Write name and digest here as JSON");
  verb->add_option("--digest-file", options->digest_file, "Write the image's digest here");
  verb->add_option("--url-file", options->url_file, "Write the image's name without tag here");
  verb->add_flag("--json", options->json, "Print the metadata");
  verb->callback([options, &context] { build(*options, context); });
}

}  // namespace kiln::cli
