#include "registry/copy/copy.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "registry/client/transfer.h"

namespace kiln::registry {
namespace {

constexpr uint64_t kConfigLimit = 64u << 20;
constexpr int kIndexDepthLimit = 4;

// Each once, in the manifest's order, the configuration last.
std::vector<Descriptor> blobs_of(const Manifest& manifest) {
  std::vector<Descriptor> blobs;
  std::set<Digest> seen;
  for (const Descriptor& layer : manifest.layers)
    if (seen.insert(layer.digest).second) blobs.push_back(layer);
  if (seen.insert(manifest.config.digest).second) blobs.push_back(manifest.config);
  return blobs;
}

void check_config_size(const Manifest& manifest) {
  if (manifest.config.size > kConfigLimit)
    throw Error(ErrorKind::Infrastructure, "the image's configuration is said to have " +
                                               format_bytes(manifest.config.size) + "; at most " +
                                               format_bytes(kConfigLimit) + " are taken");
}

class Copying {
 public:
  Copying(ImageSource& source, ImageTarget& target, const CopyOptions& options)
      : source_(source), target_(target), options_(options), observed_(options.transfer.observer) {}

  void tree(const FetchedManifest& fetched, bool top, int depth) {
    if (is_index(fetched.descriptor.media_type)) {
      if (depth == kIndexDepthLimit)
        throw Error(ErrorKind::Invalid,
                    "the image index " + fetched.descriptor.digest.text() + " is nested too deeply");
      for (const Descriptor& child : parse_index(fetched.bytes))
        if (done_.insert(child.digest).second)
          tree(source_.manifest(child, options_.transfer.stop), false, depth + 1);
    } else {
      blobs(parse_manifest(fetched.bytes));
    }
    target_.put_manifest(fetched, top, options_.transfer.stop);
    if (!top) return;
    observed_.tell(TransferEvent::Kind::Done, fetched.descriptor, fetched.descriptor.size);
  }

 private:
  void blobs(const Manifest& manifest) {
    check_config_size(manifest);
    std::vector<Descriptor> wanted = blobs_of(manifest);
    std::erase_if(wanted, [&](const Descriptor& blob) { return !done_.insert(blob.digest).second; });
    target_.expect(wanted);
    for (const Descriptor& blob : wanted) observed_.tell(TransferEvent::Kind::Waiting, blob, 0);
    // What takes longest begins first.
    std::ranges::stable_sort(wanted, std::greater(), &Descriptor::size);
    detail::for_each_parallel(
        wanted, options_.connections, options_.transfer.stop,
        [&](const Descriptor& blob, std::stop_token stop) { put(blob, std::move(stop)); });
  }

  void put(const Descriptor& blob, std::stop_token stop) {
    using Kind = TransferEvent::Kind;
    try {
      const auto put = target_.put_blob(
          blob, source_, [&](uint64_t done) { observed_.tell(Kind::Progress, blob, done); }, std::move(stop));
      observed_.tell(put == ImageTarget::Put::Moved     ? Kind::Done
                     : put == ImageTarget::Put::Present ? Kind::Present
                                                        : Kind::Mounted,
                     blob, blob.size);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::NotFound || !is_foreign(blob)) throw;
      observed_.tell(Kind::Elsewhere, blob, 0);
    }
  }

  ImageSource& source_;
  ImageTarget& target_;
  const CopyOptions& options_;
  detail::Observed observed_;
  std::set<Digest> done_;
};

void check_platform(ImageSource& source, const FetchedManifest& image, const Platform& wanted,
                    const std::stop_token& stop) {
  const ImageConfig config = parse_config(read_config(source, parse_manifest(image.bytes), stop));
  if (config.os == wanted.os && config.architecture == wanted.architecture) return;
  throw Error(ErrorKind::NotFound, "the image is not made for " + wanted.text(),
              "it is there for " + config.os + "/" + config.architecture);
}

}  // namespace

std::string read_config(ImageSource& source, const Manifest& manifest, std::stop_token stop) {
  check_config_size(manifest);
  TextSink sink(manifest.config);
  source.read_blob(manifest.config, sink, {}, std::move(stop));
  return std::move(sink.text);
}

FetchedManifest select_image(ImageSource& source, FetchedManifest top, const Platform& platform,
                             std::stop_token stop) {
  if (!is_index(top.descriptor.media_type)) return top;
  const auto read = [&](const Descriptor& document) {
    if (is_index(document.media_type) || is_manifest(document.media_type))
      return source.manifest(document, stop).bytes;
    TextSink sink(document);
    source.read_blob(document, sink, {}, stop);
    return std::move(sink.text);
  };
  return source.manifest(find_platform(top.bytes, platform.os, platform.architecture, platform.variant, read),
                         stop);
}

Descriptor copy_image(ImageSource& source, ImageTarget& target, const CopyOptions& options) {
  const std::stop_token& stop = options.transfer.stop;
  FetchedManifest image = source.manifest({}, stop);
  const bool was_index = is_index(image.descriptor.media_type);
  if (options.platform) {
    image = select_image(source, std::move(image), *options.platform, stop);
    if (options.exact_platform && !was_index) check_platform(source, image, *options.platform, stop);
  }
  ConvertedSource converted(source, options.format.value_or(ManifestFormat::Oci));
  const Descriptor before = image.descriptor;
  if (options.format) image = converted.convert(image, stop);
  target.check(image, converted, stop);
  if (!target.is_current(image)) Copying(converted, target, options).tree(image, true, 0);
  if (options.converted && image.descriptor.digest != before.digest)
    options.converted(before, image.descriptor);
  return image.descriptor;
}

}  // namespace kiln::registry
