#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace kiln::resolvers {

// Documents on disk under names that mean the same for ever. A file is its digest on the first line and the
// document behind it; the digest covers the name too. Written whole or not at all; several processes may
// share the folder. Thread-safe.
class DocumentCache {
 public:
  explicit DocumentCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // nullopt when there is none, also when there was a damaged one, which is removed.
  std::optional<std::string> find(const std::string& name) const;
  void store(const std::string& name, const std::string& document) const;
  std::filesystem::path file_of(const std::string& name) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace kiln::resolvers
