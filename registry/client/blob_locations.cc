#include "registry/client/blob_locations.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::registry {
namespace {

using nlohmann::json;

constexpr size_t kRepositories = 3;  // of one blob
constexpr uint64_t kFileLimit = 8u << 20;

std::string key_of(std::string_view host, const Digest& digest) {
  return std::string(host) + " " + digest.text();
}

void put_first(std::vector<std::string>& repositories, const std::string& repository) {
  std::erase(repositories, repository);
  repositories.insert(repositories.begin(), repository);
  if (repositories.size() > kRepositories) repositories.resize(kRepositories);
}

}  // namespace

BlobLocations::BlobLocations(fs::path file) : file_(std::move(file)) {}

BlobLocations::~BlobLocations() {
  try {
    save();
  } catch (const std::exception&) {  // a cache
  }
}

BlobLocations::Blobs BlobLocations::read() const {
  Blobs out;
  json document;
  try {
    document = json::parse(read_file(file_, kFileLimit), nullptr, false);
  } catch (const Error&) {  // not there yet
  }
  if (!document.is_object()) return out;
  for (const auto& [key, entry] : document.items()) {
    if (!entry.is_array() || entry.size() < 2 || !entry[0].is_number_unsigned()) continue;
    Blob blob{entry[0].get<uint64_t>(), {}};
    for (size_t i = 1; i < entry.size() && i <= kRepositories; ++i)
      if (entry[i].is_string()) blob.repositories.push_back(entry[i].get<std::string>());
    out.emplace(key, std::move(blob));
  }
  return out;
}

void BlobLocations::load() {
  if (!loaded_ && !file_.empty()) blobs_ = read();
  loaded_ = true;
}

void BlobLocations::saw(std::string_view host, std::string_view repository, const Digest& digest) {
  std::lock_guard lock(mutex_);
  load();
  const Key key = key_of(host, digest);
  for (Blobs* blobs : {&blobs_, &news_}) {
    Blob& blob = (*blobs)[key];
    blob.seen = static_cast<uint64_t>(::time(nullptr));
    put_first(blob.repositories, std::string(repository));
  }
}

std::vector<std::string> BlobLocations::repositories(std::string_view host, const Digest& digest) {
  std::lock_guard lock(mutex_);
  load();
  const auto it = blobs_.find(key_of(host, digest));
  return it == blobs_.end() ? std::vector<std::string>{} : it->second.repositories;
}

void BlobLocations::save() {
  std::lock_guard lock(mutex_);
  if (news_.empty() || file_.empty()) return;
  make_dirs(file_.parent_path(), 0700);
  const FileLock alone(file_.string() + ".lock");
  Blobs all = read();
  for (auto& [key, blob] : news_) {
    Blob& known = all[key];
    known.seen = blob.seen;
    for (auto it = blob.repositories.rbegin(); it != blob.repositories.rend(); ++it)
      put_first(known.repositories, *it);
  }
  std::vector<std::pair<uint64_t, Key>> by_age;
  for (const auto& [key, blob] : all) by_age.emplace_back(blob.seen, key);
  std::ranges::sort(by_age, std::greater<>());
  json document = json::object();
  for (size_t i = 0; i < std::min(by_age.size(), kMost); ++i) {
    const Blob& blob = all.at(by_age[i].second);
    json& entry = document[by_age[i].second] = json::array({blob.seen});
    for (const std::string& repository : blob.repositories) entry.push_back(repository);
  }
  // Whole, but not sure to be there after a crash: nobody waits for the disk because of what only saves time.
  const fs::path next = file_.string() + ".new";
  write_file(next, document.dump(), 0600);
  fs::rename(next, file_);
  news_.clear();
}

}  // namespace kiln::registry
