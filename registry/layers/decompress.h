#pragma once

#include <functional>
#include <memory>
#include <string_view>

namespace kiln::registry {

// Turns the bytes of a layer blob into the bytes of its tar, as they come: gzip (several members, too), zstd
// (several frames) or plain, told apart by the first bytes. Not thread-safe.
class Decompressor {
 public:
  // `sink` receives pieces of at most 1 MiB that live only during the call.
  explicit Decompressor(std::function<void(std::string_view)> sink);
  ~Decompressor();
  // Both throw Invalid for corrupt input; finish() also when the stream ends too early.
  void write(std::string_view bytes);
  void finish();

 private:
  struct Codec;
  struct Gzip;
  struct Zstd;
  struct Plain;
  void start();
  std::function<void(std::string_view)> sink_;
  std::string head_;  // until the first four bytes are there
  std::unique_ptr<Codec> codec_;
};

}  // namespace kiln::registry
