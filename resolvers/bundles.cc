#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "resolvers/bundle_layer.h"
#include "resolvers/sources.h"

// Tekton's bundle contract: an OCI image, each layer one object that the layer's annotations name.
namespace kiln::resolvers {
namespace {

constexpr size_t kMaximumObjects = 20;
constexpr uint64_t kLayerLimit = 4u << 20;  // compressed
const std::string kName = "dev.tekton.image.name", kKind = "dev.tekton.image.kind",
                  kApiVersion = "dev.tekton.image.apiVersion";

using registry::Descriptor;

std::string annotation(const Descriptor& layer, const std::string& key) {
  const auto found = layer.annotations.find(key);
  return found == layer.annotations.end() ? "" : found->second;
}

void check_compliance(const registry::Manifest& manifest, const std::string& bundle) {
  const auto fail = [&](const std::string& why) {
    throw Error(ErrorKind::Invalid, "invalid tekton bundle " + bundle + ", error: " + why,
                "is it a bundle? `tkn bundle push` makes them");
  };
  if (manifest.layers.size() > kMaximumObjects)
    fail("contained more than the maximum " + std::to_string(kMaximumObjects) + " allow objects");
  for (size_t i = 0; i < manifest.layers.size(); ++i) {
    const Descriptor& layer = manifest.layers[i];
    for (const std::string& key : {kApiVersion, kName, kKind})
      if (!layer.annotations.contains(key))
        fail("the layer " + std::to_string(i) + " does not contain a " + key + " annotation");
    const std::string kind = annotation(layer, kKind);
    if (to_lower(kind) != kind || kind.ends_with('s'))
      fail("the layer " + std::to_string(i) + " the annotation " + kKind +
           " must be lowercased and singular, found " + kind);
  }
}

const Descriptor& find_object(const registry::Manifest& manifest, const std::string& kind,
                              const std::string& name) {
  std::vector<std::string> there, names;
  for (const Descriptor& layer : manifest.layers) {
    const bool right_kind = iequals(annotation(layer, kKind), kind);
    if (right_kind && annotation(layer, kName) == name) return layer;
    if (right_kind) names.push_back(annotation(layer, kName));
    there.push_back(annotation(layer, kKind) + " " + annotation(layer, kName));
  }
  std::string hint = there.empty() ? "the bundle is empty" : "there are: " + join(there, ", ");
  if (const auto near = nearest(name, names)) hint = "did you mean `" + *near + "`? " + hint;
  throw Error(ErrorKind::NotFound, "could not find object in image with kind: " + kind + " and name: " + name,
              hint);
}

registry::Reference parse_bundle(const std::string& text) {
  std::string problem;
  if (auto reference = registry::Reference::try_parse(text, &problem)) return *reference;
  throw Error(ErrorKind::Invalid, "invalid bundle reference: " + text + ": " + problem,
              "write HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:…");
}

// The bundle's manifest. An index stands for the same documents on each platform.
registry::Manifest fetch_manifest(const Services& services, registry::Reference reference) {
  registry::FetchedManifest fetched = services.registry.fetch_manifest(reference, services.stop);
  if (registry::is_index(fetched.descriptor.media_type)) {
    reference.digest =
        registry::select_platform(fetched.bytes, "linux", registry::machine_architecture()).digest;
    fetched = services.registry.fetch_manifest(reference, services.stop);
  }
  return registry::parse_manifest(fetched.bytes);
}

}  // namespace

Resolved resolve_bundle(const Services& services, const Params& params) {
  params.require({"bundle", "name"});
  const std::string bundle = params.get("bundle"), name = params.get("name");
  const std::string kind = to_lower(params.get("kind", params.kind()));
  registry::Reference reference = parse_bundle(bundle);
  if (!reference.digest) {
    const auto descriptor = services.registry.resolve(reference, services.stop);
    if (!descriptor)
      throw Error(ErrorKind::NotFound, "registry " + reference.host + " has no bundle " + reference.text(),
                  "check the name and the tag");
    reference.digest = descriptor->digest;
  }
  const std::string source =
      reference.host + "/" + reference.repository + "@" + reference.digest->text() + " " + kind + "/" + name;
  if (auto known = services.known(source)) return *known;

  const registry::Manifest manifest = fetch_manifest(services, reference);
  check_compliance(manifest, bundle);
  const Descriptor& layer = find_object(manifest, kind, name);
  if (layer.size > kLayerLimit)
    throw Error(ErrorKind::Invalid, "the layer of " + kind + " " + name + " in " + bundle + " has " +
                                        format_bytes(layer.size) + ", more than " +
                                        format_bytes(kLayerLimit));
  std::string text;
  try {
    text = bundle_document(services.registry.fetch_blob(reference, layer, services.stop),
                           services.options.document_limit);
  } catch (const Error& error) {
    throw error.because("cannot read " + kind + " " + name + " of bundle " + bundle);
  }
  return services.keep(std::move(text), source);
}

}  // namespace kiln::resolvers
