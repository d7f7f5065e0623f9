#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kiln::resolvers {

// The document in a layer of a bundle: the one file of a tar (gzip, zstd or plain), or the layer's own bytes
// when they are no tar at all. Throws Invalid for a damaged layer, none or several files, or a document
// beyond `limit` bytes; a small layer that unpacks to much is stopped early.
std::string bundle_document(std::string_view layer, uint64_t limit);

}  // namespace kiln::resolvers
