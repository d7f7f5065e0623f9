#include "registry/upstreams.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "registry/entry_notes.h"
#include "registry/image_place.h"
#include "registry/repository_blobs.h"
#include "registry/store.h"
#include "registry/store_index.h"
#include "registry/store_place.h"

namespace kiln::registry {
namespace {

Reference at_upstream(const std::string& repository, const std::string& reference, const UpstreamRule& rule) {
  const std::string rest = repository.substr(rule.prefix.size());
  const char separator = Digest::parse(reference) ? '@' : ':';
  return Reference::parse(rule.registry + rest + separator + reference);
}

std::optional<Descriptor> blob_in(const Store& store, const Digest& manifest, const Digest& digest) {
  const Manifest document = parse_manifest(store.read(manifest));
  if (document.config.digest == digest) return document.config;
  for (const Descriptor& layer : document.layers)
    if (layer.digest == digest) return layer;
  return std::nullopt;
}

// As one of the repository's manifests has it: size and type are needed to fetch it.
std::optional<Descriptor> find_blob(const Store& store, const std::string& repository, const Digest& digest) {
  const auto index = store.index();
  for (const IndexEntry* entry : index->of_repository(repository)) {
    if (!is_manifest(entry->descriptor.media_type) || !store.has(entry->descriptor.digest)) continue;
    if (auto found = blob_in(store, entry->descriptor.digest, digest)) return found;
  }
  return std::nullopt;
}

}  // namespace

Upstreams::Upstreams(Store& store, Client& client, const PolicySettings& policies, const Clock& clock)
    : store_(store), client_(client), policies_(policies), clock_(clock) {}

Upstreams::~Upstreams() {
  stop_.request_stop();
}

void Upstreams::once(const std::string& name, const std::function<void()>& work) {
  std::promise<void> promise;
  std::shared_future<void> other;
  {
    std::lock_guard lock(mutex_);
    const auto [it, mine] = under_way_.try_emplace(name);
    if (mine)
      it->second = promise.get_future().share();
    else
      other = it->second;
  }
  if (other.valid()) return other.get();
  std::exception_ptr failure;
  try {
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  {
    std::lock_guard lock(mutex_);
    under_way_.erase(name);
  }
  if (!failure) return promise.set_value();
  promise.set_exception(failure);
  std::rethrow_exception(failure);
}

bool Upstreams::is_known(const std::string& repository, const std::string& reference,
                         const UpstreamRule& rule) const {
  const auto index = store_.index();
  if (const auto digest = Digest::parse(reference)) {
    for (const IndexEntry* entry : index->of_repository(repository))
      if (entry->descriptor.digest == *digest) return store_.has(*digest);
    return false;
  }
  const IndexEntry* entry = index->find(repository + ":" + reference);
  if (!entry || !store_.has(entry->descriptor.digest)) return false;
  const auto asked = entry->descriptor.annotations.find(kPushed);
  const auto time =
      asked == entry->descriptor.annotations.end() ? std::nullopt : parse_rfc3339(asked->second);
  return time && clock_.now() - *time < rule.tag_age;
}

void Upstreams::manifest(std::string_view repository, std::string_view reference) {
  const UpstreamRule* rule = policies_.upstream_of(repository);
  if (!rule) return;
  const std::string name(repository), which(reference);
  if (is_known(name, which, *rule)) return;
  once(name + " " + which, [&] { fetch_manifest(name, which, *rule); });
}

void Upstreams::blob(std::string_view repository, const Digest& digest) {
  const UpstreamRule* rule = policies_.upstream_of(repository);
  if (!rule || store_.has(digest)) return;
  const std::string name(repository);
  once(name + " " + digest.text(), [&] { fetch_blob(name, digest, *rule); });
}

void Upstreams::fetch_manifest(const std::string& repository, const std::string& reference,
                               const UpstreamRule& rule) {
  const bool by_digest = Digest::parse(reference).has_value();
  const auto index = store_.index();
  const IndexEntry* older = by_digest ? nullptr : index->find(repository + ":" + reference);
  const bool there = older && store_.has(older->descriptor.digest);
  try {
    const Reference upstream = at_upstream(repository, reference, rule);
    if (there) {
      const auto now = client_.resolve(upstream, stop_.get_token());
      if (now && now->digest == older->descriptor.digest)
        return keep(repository, reference, {older->descriptor, store_.read(now->digest)});
    }
    keep(repository, by_digest ? "" : reference, client_.fetch_manifest(upstream, stop_.get_token()));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::NotFound) return;  // what is here of it, if anything, is the answer
    if (!there) throw;
    spdlog::warn("{}:{} is as it was: {}", repository, reference, error.full());
  }
}

void Upstreams::keep(const std::string& repository, const std::string& tag, const FetchedManifest& fetched) {
  Descriptor entry{
      fetched.descriptor.media_type, fetched.descriptor.digest, fetched.bytes.size(), {}, {}, {}, {}};
  if (!store_.keep(entry.digest)) {
    BlobWriter writer = store_.begin_blob(entry.digest.algorithm());
    writer.write(fetched.bytes);
    writer.commit(entry.digest);
  }
  Descriptor untagged = entry;
  untagged.annotations[Store::kRepository] = repository;
  untagged.annotations[RepositoryBlobs::kSparse] = "true";  // its blobs come when they are asked for
  const auto document = nlohmann::json::parse(fetched.bytes, nullptr, false);
  if (document.is_object() && document.contains("subject") && document["subject"].is_object())
    untagged.annotations[kSubject] = parse_descriptor(document["subject"]).digest.text();
  entry.annotations[kPushed] = format_rfc3339(clock_.now());
  store_.update([&](IndexEdit& edit) {
    edit.add(untagged);
    if (!tag.empty()) edit.name(repository + ":" + tag, entry);
  });
}

void Upstreams::fetch_blob(const std::string& repository, const Digest& digest, const UpstreamRule& rule) {
  const auto blob = find_blob(store_, repository, digest);
  if (!blob) return;  // no manifest of this repository needs it
  const Reference upstream = at_upstream(repository, digest.text(), rule);
  const auto source = client_.source(upstream);
  StoreTarget target(store_);
  try {
    target.put_blob(
        *blob, *source, [](uint64_t) {}, stop_.get_token());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;
    return;
  }
  RepositoryBlobs(store_).add(repository, digest);
}

}  // namespace kiln::registry
