#pragma once

#include <map>
#include <string>
#include <string_view>

#include "registry/reference.h"

namespace kiln::registry {

// Other places for images, as `[images]` of a config.toml names them:
//
//   "registry.example/ubuntu" = "kiln/build"                    this image, whatever its tag or digest
//   "registry.example/ubuntu:22.04" = "localhost:5000/u:1"      this tag only; wins over the line above
//   "registry.example/" = "localhost:5000/mirror/"              all images there: the rest of the name is
//   kept
//
// An exact name wins over a name without its tag, that over the longest prefix. What an alias leads to is not
// looked up again. A value; reading is thread-safe.
class ImageAliases {
 public:
  // Replaces what the name stood for. Throws Invalid for what is no name of an image, and for a prefix that
  // leads to a whole image or the other way round.
  void add(std::string_view name, std::string_view target);
  bool empty() const { return exact_.empty() && prefixes_.empty(); }

  // What to get instead of `reference`; itself when no alias fits.
  Reference resolve(const Reference& reference) const;

 private:
  std::map<std::string, std::string> exact_;     // "host/repository[:tag][@digest]", as Reference::text()
  std::map<std::string, std::string> prefixes_;  // "host/…/"
};

}  // namespace kiln::registry
