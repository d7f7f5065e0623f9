#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "base/digest.h"
#include "builders/tree_entries.h"
#include "registry/image.h"

namespace kiln::registry {
class Store;
}

namespace kiln::builders {

// A layer in the store: its blob and what an image config calls it.
struct Layer {
  registry::Descriptor descriptor;
  Digest diff_id;
  uint64_t uncompressed_size = 0;
};

// Tar bytes in, a gzip layer blob in the store out, in one pass: diff ID, compression (parallel), digest and
// write overlap. The blob's bytes depend on the tar and the codec only: chunks have a fixed size whatever the
// number of threads (DESIGN decision 7). One gzip member, so every reader takes it.
class LayerWriter {
 public:
  // `threads` compress; 0 means as many as the machine has, up to 8.
  explicit LayerWriter(registry::Store& store, unsigned threads = 0);
  LayerWriter(const LayerWriter&) = delete;
  ~LayerWriter();
  void write(std::string_view tar_bytes);
  // After the last write: what the layer is called. When a layer of this name exists already, the writer can
  // be dropped instead of finished, and nothing reaches the store.
  const Digest& diff_id();
  Layer finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Names the compressor's exact output: part of every cache key that stands for compressed bytes.
std::string_view layer_codec();

// Remembers which blob a tar became, so that a tar seen before is hashed but not compressed again. Kept as
// small files below `folder`; entries whose blob has left the store count as absent. Thread-safe.
class LayerCache {
 public:
  LayerCache(registry::Store& store, std::filesystem::path folder);
  std::optional<Layer> find(const Digest& diff_id) const;
  // By a key of the caller's own (a tree's stat fingerprint, a package list).
  std::optional<Layer> find(std::string_view key) const;
  void remember(const Layer& layer);
  void remember(std::string_view key, const Layer& layer);

 private:
  std::filesystem::path file_of(std::string_view key) const;
  registry::Store& store_;
  std::filesystem::path folder_;
};

// One layer from whatever `fill` writes. `key` (may be empty) names the input before it is read: when the
// cache knows it, `fill` is not even called. `reused` tells whether nothing had to be stored.
Layer store_layer(registry::Store& store, LayerCache& cache, std::string_view key,
                  const std::function<void(TarWriter&)>& fill, bool& reused);

}  // namespace kiln::builders
