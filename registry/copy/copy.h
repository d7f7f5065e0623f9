#pragma once

#include "registry/client/transfer_options.h"
#include "registry/copy/image_place.h"
#include "registry/copy/manifest_format.h"
#include "registry/platform.h"

namespace kiln::registry {

struct CopyOptions {
  // Which image of an index; nullopt: all of them, and the index. An image by itself is taken whatever it is
  // for, unless `exact_platform`.
  std::optional<Platform> platform = Platform::of_machine();
  bool exact_platform = false;
  int connections = 6;  // blobs at once
  // How its manifests are to be written; nullopt: as they are. `converted` is told the image before and
  // after.
  std::optional<ManifestFormat> format{};
  std::function<void(const Descriptor& before, const Descriptor& after)> converted{};
  TransferOptions transfer{};
};

// Brings an image from one place to another, blobs in parallel, then manifests, the image's own last. Bytes
// and digests stay as they are, unless the options name a format. Returns what the target now has.
Descriptor copy_image(ImageSource& source, ImageTarget& target, const CopyOptions& options = {});

// The one image of an index for that platform, through indexes in indexes; an image itself as it is.
FetchedManifest select_image(ImageSource& source, FetchedManifest top, const Platform& platform,
                             std::stop_token stop);

// The image's configuration, verified.
std::string read_config(ImageSource& source, const Manifest& manifest, std::stop_token stop);

}  // namespace kiln::registry
