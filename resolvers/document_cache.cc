#include "resolvers/document_cache.h"

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"

namespace kiln::resolvers {
namespace {

std::string digest_of(const std::string& name, std::string_view document) {
  Hasher hasher;
  hasher.update(name);
  hasher.update(std::string_view("\0", 1));
  hasher.update(document);
  return hasher.finish().text();
}

}  // namespace

fs::path DocumentCache::file_of(const std::string& name) const {
  return folder_ / std::string(sha256(name).encoded());
}

std::optional<std::string> DocumentCache::find(const std::string& name) const {
  const fs::path file = file_of(name);
  std::string content;
  try {
    content = read_file(file);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::NotFound) return std::nullopt;
    throw;
  }
  const size_t line = content.find('\n');
  if (line != std::string::npos) {
    std::string document = content.substr(line + 1);
    if (content.substr(0, line) == digest_of(name, document)) return document;
  }
  remove_tree(file);
  return std::nullopt;
}

void DocumentCache::store(const std::string& name, const std::string& document) const {
  make_dirs(folder_, 0700);
  write_file_atomic(file_of(name), digest_of(name, document) + "\n" + document, 0600);
}

}  // namespace kiln::resolvers
