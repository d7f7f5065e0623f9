#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "registry/copy/copy.h"
#include "registry/reference.h"
#include "registry/server/entry_notes.h"
#include "registry/store/store.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

struct ImageOptions {
  std::string name, target, output, platform;
  std::vector<std::string> names;
  bool raw = false;
};

registry::Descriptor find(Context& context, const std::string& name) {
  const std::string familiar = registry::Reference::parse(name).familiar;
  if (const auto descriptor = context.store().resolve(familiar)) return *descriptor;
  throw Error(ErrorKind::NotFound, "there is no image " + familiar + " in the store",
              "`kiln image list` shows what there is, `kiln image pull` fetches one");
}

constexpr int kIndexDepthLimit = 4;

// Of an index: of all its images that are here. Of a copy of another registry's image (pull-through) not all
// need be; the manifest is enough.
uint64_t layers_size(const registry::Store& store, const registry::Descriptor& image, int depth = 0) {
  uint64_t size = 0;
  if (depth == kIndexDepthLimit || !store.has(image.digest)) return size;
  if (registry::is_manifest(image.media_type))
    for (const auto& layer : registry::parse_manifest(store.read(image.digest)).layers) size += layer.size;
  else if (registry::is_index(image.media_type))
    for (const auto& child : registry::parse_index(store.read(image.digest)))
      size += layers_size(store, child, depth + 1);
  return size;
}

void list(const ImageOptions& options, Context& context) {
  std::vector<std::vector<std::string>> rows{{"IMAGE", "DIGEST", "SIZE"}};
  json objects = json::array();
  const registry::Store& store = context.store_to_read();
  for (const auto& [name, descriptor] : store.list()) {
    const uint64_t size = layers_size(store, descriptor);
    rows.push_back({name, descriptor.digest.short_text(), format_bytes(size)});
    objects.push_back({{"name", name}, {"digest", descriptor.digest.text()}, {"size", size}});
  }
  print(options.output == "json" ? json_text(objects) : table(rows));
}

// A name means the store; other places are read where they are.
void inspect(const ImageOptions& options, Context& context) {
  const auto place = registry::ImagePlace::parse(options.name);
  const auto source = registry::open_source(place, context.client(), context.store_to_read());
  registry::FetchedManifest image = source->manifest({}, context.stop());
  if (options.raw) return print(image.bytes);
  const auto platform = options.platform.empty() ? registry::Platform::of_machine()
                                                 : registry::Platform::parse(options.platform);
  image = registry::select_image(*source, std::move(image), platform, context.stop());
  const std::string config =
      registry::read_config(*source, registry::parse_manifest(image.bytes), context.stop());
  const json object = {{"name", options.name},
                       {"digest", image.descriptor.digest.text()},
                       {"manifest", json::parse(image.bytes)},
                       {"config", json::parse(config)}};
  print(json_text(object));
}

}  // namespace

void add_image(CLI::App& app, Context& context) {
  CLI::App* verb = app.add_subcommand("image",
                                      "OCI images of the store\n\n"
                                      "  kiln image list\n"
                                      "  kiln image copy hello oci-archive:hello.tar\n");
  verb->require_subcommand(1);
  auto options = std::make_shared<ImageOptions>();
  CLI::App* lister = verb->add_subcommand("list", "List images");
  add_output_option(*lister, options->output);
  lister->callback([options, &context] { list(*options, context); });

  CLI::App* inspector = verb->add_subcommand("inspect",
                                             "Print manifest and configuration\n\n"
                                             "  kiln image inspect hello\n"
                                             "  kiln image inspect docker://localhost:5000/hello\n"
                                             "  kiln image inspect --raw oci-archive:hello.tar\n");
  inspector->add_option("image", options->name, "Image of the store, or its place")->required();
  inspector->add_option("--platform", options->platform, "Which image of several: OS/ARCHITECTURE[/VARIANT]");
  inspector->add_flag("--raw", options->raw, "The manifest or index, byte for byte");
  inspector->callback([options, &context] { inspect(*options, context); });
  add_image_copy(*verb, context);

  CLI::App* tagger = verb->add_subcommand("tag", "Give an image one more name");
  tagger->add_option("image", options->name, "Image")->required();
  tagger->add_option("target", options->target, "The new name")->required();
  tagger->callback([options, &context] {
    registry::Descriptor image = find(context, options->name);
    image.annotations.erase(registry::kPushed);  // this name was not: retention is not for it
    context.store().tag(registry::Reference::parse(options->target).familiar, image);
  });

  CLI::App* remover =
      verb->add_subcommand("rm", "Remove names from the store\n\n  kiln image rm hello other:v1\n");
  remover->add_option("image", options->names, "Images")->required();
  remover->callback([options, &context] {
    for (const std::string& name : options->names) find(context, name);  // all of them, or none
    for (const std::string& name : options->names)
      context.store().untag(registry::Reference::parse(name).familiar);
  });
  add_image_store(*verb, context);
}

}  // namespace kiln::cli
