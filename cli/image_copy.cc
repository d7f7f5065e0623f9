#include "cli/image_copy.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/push.h"
#include "cli/terminal.h"
#include "cli/transfer_progress.h"
#include "cli/verbs.h"
#include "registry/copy/store_place.h"
#include "registry/reference.h"
#include "registry/store/leases.h"
#include "registry/store/store.h"

namespace kiln::cli {
namespace {

using Kind = registry::ImagePlace::Kind;

struct Words {
  std::string source, target, platform, output, format;
  bool all = false;
};

// Aliases of config.toml hold wherever an image is got.
registry::ImagePlace resolved(const Context& context, registry::ImagePlace place) {
  if (place.kind == Kind::Registry)
    place.name = context.aliases.resolve(registry::Reference::parse(place.name)).familiar;
  return place;
}

// The name without its digest.
std::string without_digest(const std::string& name) {
  return name.substr(0, name.find('@'));
}

// What `docker load` is to call it when nobody says. A digest by itself is no name.
std::string name_of(const registry::ImagePlace& place) {
  const auto reference = registry::Reference::try_parse(place.name);
  if (!reference || (reference->digest && reference->tag.empty())) return "";
  return registry::Reference::parse(without_digest(place.name)).familiar;
}

registry::CopyOptions options_of(const Words& words) {
  registry::CopyOptions options;
  if (words.all && !words.platform.empty())
    throw Error(ErrorKind::Usage, "--all takes every platform, --platform one", "give one of them");
  if (words.all) options.platform.reset();
  if (!words.platform.empty()) {
    options.platform = registry::Platform::parse(words.platform);
    options.exact_platform = true;
  }
  if (!words.format.empty())
    options.format = words.format == "oci" ? registry::ManifestFormat::Oci : registry::ManifestFormat::Docker;
  return options;
}

void add_choice(CLI::App* verb, const std::shared_ptr<Words>& words) {
  verb->add_option("--platform", words->platform, "Which image of several: OS/ARCHITECTURE[/VARIANT]");
  verb->add_flag("--all", words->all, "All platforms, and the index");
  add_output_option(*verb, words->output);
}

void pull(const Words& words, Context& context) {
  CopyRequest request;
  request.source = registry::ImagePlace::parse(words.source);
  if (request.source.kind == Kind::Store) request.source.kind = Kind::Registry;
  const std::string shown = request.source.name;
  if (request.source.kind == Kind::Registry && registry::Reference::parse(shown).is_local())
    throw Error(ErrorKind::NotFound, shown + " is a name of this machine's image store only",
                "kiln/… images are made with `kiln stack create`");
  request.source = resolved(context, request.source);
  if (!registry::Reference::try_parse(request.source.name))
    throw Error(ErrorKind::Usage, words.source + " does not say what the image is called here",
                "kiln image copy " + words.source + " NAME");
  request.target = {Kind::Store, request.source.name, {}};
  request.options = options_of(words);
  request.verb = "pulled";
  request.output = words.output;
  const registry::Descriptor image = copy(context, std::move(request));
  if (words.output != "json") print(without_digest(shown) + "@" + image.digest.text() + "\n");
}

void push(const Words& words, Context& context) {
  const std::string name = registry::Reference::parse(words.source).familiar;
  auto target = registry::ImagePlace::parse(words.target.empty() ? words.source : words.target);
  if (target.kind == Kind::Store) target.kind = Kind::Registry;
  if (target.kind == Kind::Registry && registry::Reference::parse(target.name).is_local())
    throw Error(ErrorKind::Usage, words.source + " names no registry",
                "kiln image push " + words.source + " localhost:5000/NAME");
  push_image(context, name, target, words.output);
}

}  // namespace

registry::Descriptor copy(Context& context, CopyRequest request) {
  registry::Store& store = request.target.kind == Kind::Store ? context.store() : context.store_to_read();
  const auto source = registry::open_source(request.source, context.client(), store);
  std::optional<registry::Lease> lease;
  std::unique_ptr<registry::ImageTarget> target;
  // A pull by digest is kept under the name as it was given, digest and all.
  if (request.target.kind == Kind::Store && registry::Reference::parse(request.target.name).digest &&
      request.source.kind == Kind::Registry)
    target = std::make_unique<registry::StoreTarget>(store, registry::StoreTarget::Entry::Named,
                                                     request.target.name);
  else
    target = registry::open_target(request.target, context.client(), store, name_of(request.source),
                                   request.source);
  if (request.target.kind == Kind::Store)  // until it has its name
    lease.emplace(store, "pull", registry::Lease::Spares::AllThatIsNew);

  registry::Descriptor image;
  std::string summary;
  TransferProgress progress;
  request.options.transfer.stop = context.stop();
  request.options.transfer.observer = progress.observer();
  std::optional<Digest> before;
  request.options.converted = [&](const registry::Descriptor& was, const registry::Descriptor&) {
    before = was.digest;
  };
  try {
    image = copy_image(*source, *target, request.options);
    summary = progress.finish();
  } catch (...) {
    progress.finish();
    throw;
  }
  const bool written_as = request.target.kind == Kind::Store || request.target.kind == Kind::Registry;
  const std::string shown = written_as ? request.target.name : request.target.text();
  say(request.verb + " " + shown + ": " + summary);
  if (before)
    say("note: the format changed, and the digest with it: " + image.digest.text() + " was " +
        before->text());
  if (request.output == "json") {
    nlohmann::json object = progress.list().to_json();
    object["source"] = request.source.text();
    object["target"] = request.target.text();
    object["digest"] = image.digest.text();
    object["mediaType"] = image.media_type;
    if (before) object["sourceDigest"] = before->text();
    print(json_text(object));
  }
  return image;
}

void add_image_copy(CLI::App& image, Context& context) {
  auto words = std::make_shared<Words>();
  CLI::App* puller = image.add_subcommand("pull",
                                          "Fetch an image from its registry\n\n"
                                          "  kiln image pull localhost:5000/hello:v1\n"
                                          "  kiln image pull --platform linux/arm64 localhost:5000/hello\n");
  puller->add_option("image", words->source, "Image")->required();
  add_choice(puller, words);
  puller->callback([words, &context] { pull(*words, context); });

  CLI::App* pusher = image.add_subcommand("push",
                                          "Send an image of the store to a registry\n\n"
                                          "  kiln image push localhost:5000/hello\n"
                                          "  kiln image push kiln/run localhost:5000/run\n");
  pusher->add_option("image", words->source, "Image")->required();
  pusher->add_option("target", words->target, "Where to, if not by its own name");
  add_output_option(*pusher, words->output);
  pusher->callback([words, &context] { push(*words, context); });

  CLI::App* copier = image.add_subcommand(
      "copy",
      "Copy an image from one place to another\n\n"
      "  kiln image copy docker://localhost:5000/hello:v1 docker://localhost:5001/hello:v1\n"
      "  kiln image copy hello docker-archive:hello.tar\n"
      "  kiln image copy --all docker://localhost:5000/hello oci:layout:hello\n"
      "  kiln image copy --format docker hello docker://localhost:5000/hello\n\n"
      "Places: NAME (in the store), docker://HOST/NAME, oci:FOLDER[:NAME], oci-archive:FILE[:NAME],\n"
      "docker-archive:FILE[:NAME], dir:FOLDER. Bytes and digests stay as they are, unless --format asks for\n"
      "manifests of another kind.\n");
  copier->add_option("source", words->source, "Where it is")->required();
  copier->add_option("target", words->target, "Where it is to be")->required();
  add_choice(copier, words);
  copier->add_option("--format", words->format, "Write manifests in this format: oci or docker (schema 2)")
      ->check(CLI::IsMember({"oci", "docker"}));
  copier->callback([words, &context] {
    CopyRequest request;
    request.source = resolved(context, registry::ImagePlace::parse(words->source));
    request.target = registry::ImagePlace::parse(words->target);
    request.options = options_of(*words);
    request.output = words->output;
    copy(context, std::move(request));
  });
}

}  // namespace kiln::cli
