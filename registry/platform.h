#pragma once

#include <string>
#include <string_view>

namespace kiln::registry {

// An operating system and an architecture, in Go's words: image-spec image-index.md.
struct Platform {
  std::string os, architecture, variant;

  // "linux/arm64", "linux/arm/v7", and what others call them ("linux/x86_64", "linux/armhf"); throws Usage.
  static Platform parse(std::string_view text);
  static Platform of_machine();
  std::string text() const;
  bool operator==(const Platform&) const = default;
};

}  // namespace kiln::registry
