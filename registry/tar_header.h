#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kiln::registry::detail {

// What stands before a regular file of a tar: ustar, with a PAX header where name or size need one. Owner
// root, mode 0644, time 0: equal content makes equal archives.
std::string tar_header(std::string_view name, uint64_t size);
// Zeros from the file's end to the next block.
inline uint64_t tar_padding(uint64_t size) {
  return (512 - size % 512) % 512;
}

}  // namespace kiln::registry::detail
