#include "registry/store/store_walk.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "registry/document.h"
#include "registry/store/store.h"

namespace kiln::registry {
namespace {

constexpr uint64_t kDocumentLimit = 4u << 20;
constexpr int kDepthLimit = 32;  // of indexes in indexes; digests cannot go round in a circle

}  // namespace

void ContentWalk::follow(const Digest& digest, bool required, int depth) {
  blobs_.insert(digest);
  if (followed_.contains(digest) || depth == kDepthLimit) return;
  const std::string text = read_document(digest, required);
  if (text.empty()) return;  // it may come later
  followed_.insert(digest);
  try {
    const nlohmann::json document = parse_document(text, "manifest");
    if (document.contains("manifests"))
      for (const Descriptor& child : parse_index(text)) follow(child.digest, /*required=*/false, depth + 1);
    else if (document.contains("config"))
      follow_manifest(text);
  } catch (const Error& error) {  // no document of ours: it leads nowhere
    if (error.kind() != ErrorKind::Invalid) throw;
  }
}

void ContentWalk::follow_manifest(const std::string& text) {
  const Manifest manifest = parse_manifest(text);
  for (const Descriptor& layer : manifest.layers) {
    blobs_.insert(layer.digest);
    if (!store_.has(layer.digest) && !is_foreign(layer)) missing_.insert(layer.digest);
  }
  blobs_.insert(manifest.config.digest);
  const std::string config = read_document(manifest.config.digest, /*required=*/true);
  if (config.empty()) return;
  const std::vector<Digest> diff_ids = parse_config(config).diff_ids;
  snapshots_.insert(diff_ids.begin(), diff_ids.end());
  for (Digest& chain_id : chain_ids(diff_ids)) snapshots_.insert(std::move(chain_id));
}

// Empty when it is not here, or too large for a document.
std::string ContentWalk::read_document(const Digest& digest, bool required) {
  const auto size = store_.size(digest);
  if (!size && required) missing_.insert(digest);
  if (!size || *size > kDocumentLimit) return {};
  try {
    return read_file(store_.blob_path(digest), kDocumentLimit);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;  // gone this moment
    return {};
  }
}

}  // namespace kiln::registry
