#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/push.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "registry/images.h"
#include "registry/reference.h"
#include "registry/store.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

struct ImageOptions {
  std::string name, target, output;
};

registry::Descriptor find(Context& context, const std::string& name) {
  const std::string familiar = registry::Reference::parse(name).familiar;
  if (const auto descriptor = context.store().resolve(familiar)) return *descriptor;
  throw Error(ErrorKind::NotFound, "there is no image " + familiar + " in the store",
              "`kiln image list` shows what there is, `kiln image pull` fetches one");
}

void list(const ImageOptions& options, Context& context) {
  std::vector<std::vector<std::string>> rows{{"IMAGE", "DIGEST", "SIZE"}};
  json objects = json::array();
  for (const auto& [name, descriptor] : context.store().list()) {
    uint64_t size = 0;
    if (registry::is_manifest(descriptor.media_type))
      for (const auto& layer : context.store().load(descriptor).manifest.layers) size += layer.size;
    rows.push_back({name, descriptor.digest.short_text(), format_bytes(size)});
    objects.push_back({{"name", name}, {"digest", descriptor.digest.text()}, {"size", size}});
  }
  print(options.output == "json" ? json_text(objects) : table(rows));
}

void inspect(const ImageOptions& options, Context& context) {
  const registry::Image image = context.store().load(find(context, options.name));
  const json object = {{"name", options.name},
                       {"digest", image.descriptor.digest.text()},
                       {"manifest", json::parse(context.store().read(image.descriptor.digest))},
                       {"config", json::parse(context.store().read(image.manifest.config.digest))}};
  print(json_text(object));
}

}  // namespace

void add_image(CLI::App& app, Context& context) {
  CLI::App* verb = app.add_subcommand("image", "OCI images of the store");
  verb->require_subcommand(1);
  auto options = std::make_shared<ImageOptions>();
  CLI::App* lister = verb->add_subcommand("list", "List images");
  add_output_option(*lister, options->output);
  lister->callback([options, &context] { list(*options, context); });

  CLI::App* inspector = verb->add_subcommand("inspect", "Print manifest and configuration");
  inspector->add_option("image", options->name, "Image")->required();
  inspector->callback([options, &context] { inspect(*options, context); });

  CLI::App* puller = verb->add_subcommand("pull", "Fetch an image from its registry");
  puller->add_option("image", options->name, "Image")->required();
  puller->callback([options, &context] {
    const auto image = context.images().get(options->name, registry::PullPolicy::Always, context.stop());
    print(options->name + "@" + image.descriptor.digest.text() + "\n");
  });

  CLI::App* pusher = verb->add_subcommand("push",
                                          "Send an image of the store to a registry\n\n"
                                          "  kiln image push localhost:5000/hello\n"
                                          "  kiln image push kiln/run localhost:5000/run\n");
  pusher->add_option("image", options->name, "Image")->required();
  pusher->add_option("target", options->target, "Where to, if not by its own name");
  pusher->callback([options, &context] {
    const auto target = registry::Reference::parse(options->target.empty() ? options->name : options->target);
    if (target.is_local())
      throw Error(ErrorKind::Usage, options->name + " names no registry",
                  "kiln image push " + options->name + " localhost:5000/NAME");
    find(context, options->name);
    push_image(context, registry::Reference::parse(options->name).familiar, target);
  });

  CLI::App* tagger = verb->add_subcommand("tag", "Give an image one more name");
  tagger->add_option("image", options->name, "Image")->required();
  tagger->add_option("target", options->target, "The new name")->required();
  tagger->callback([options, &context] {
    context.store().tag(registry::Reference::parse(options->target).familiar, find(context, options->name));
  });

  CLI::App* remover = verb->add_subcommand("rm", "Remove a name from the store");
  remover->add_option("image", options->name, "Image")->required();
  remover->callback([options, &context] {
    find(context, options->name);
    context.store().untag(registry::Reference::parse(options->name).familiar);
  });
  add_image_store(*verb, context);
}

}  // namespace kiln::cli
