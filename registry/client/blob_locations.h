#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"

namespace kiln::registry {

// In which repositories of a registry blobs were seen, so that a push to another one there can have them
// mounted instead of sending them. Kept in one small file of the cache folder: the most recent kMost blobs,
// three repositories each. What is lost or wrong in it costs an upload, no more. Thread-safe.
class BlobLocations {
 public:
  static constexpr size_t kMost = 4096;

  // An empty path: nothing is remembered beyond this object.
  explicit BlobLocations(std::filesystem::path file = {});
  ~BlobLocations();  // save()

  void saw(std::string_view host, std::string_view repository, const Digest& digest);
  // The most recent first.
  std::vector<std::string> repositories(std::string_view host, const Digest& digest);
  // Writes what is new, together with what other processes have written meanwhile.
  void save();

 private:
  using Key = std::string;  // "HOST DIGEST"
  struct Blob {
    uint64_t seen = 0;  // Unix time in seconds
    std::vector<std::string> repositories;
  };
  using Blobs = std::map<Key, Blob>;
  Blobs read() const;
  void load();

  const std::filesystem::path file_;
  std::mutex mutex_;
  bool loaded_ = false;
  Blobs blobs_, news_;
};

}  // namespace kiln::registry
