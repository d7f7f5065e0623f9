#include "registry/server/upstreams.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "base/text.h"
#include "registry/client/session.h"
#include "registry/copy/image_place.h"
#include "registry/copy/store_place.h"
#include "registry/document.h"
#include "registry/server/entry_notes.h"
#include "registry/server/registry_hooks.h"
#include "registry/store/store.h"
#include "registry/store/store_index.h"

namespace kiln::registry {
namespace {

constexpr std::string_view kPseudonym = "kiln-";
constexpr auto kStaysMissing = std::chrono::seconds(10);
constexpr size_t kMissing = 4096;  // beyond, all are asked for again

Reference at_upstream(const std::string& repository, const std::string& reference, const UpstreamRule& rule) {
  const std::string rest = repository.substr(rule.prefix.size());
  const char separator = Digest::parse(reference) ? '@' : ':';
  return Reference::parse(rule.registry + rest + separator + reference);
}

std::optional<Descriptor> blob_in(const Manifest& document, const Digest& digest) {
  if (document.config.digest == digest) return document.config;
  for (const Descriptor& layer : document.layers)
    if (layer.digest == digest) return layer;
  return std::nullopt;
}

// Not to be taken for the manifest of that digest.
std::string blob_name(const std::string& repository, const Digest& digest) {
  return repository + " blob " + digest.text();
}

struct Needed {
  Digest manifest;
  Descriptor blob;
};

// As one of the repository's manifests has it: size and type are needed to fetch it.
std::optional<Needed> find_blob(const Store& store, const std::string& repository, const Digest& digest) {
  const auto index = store.index();
  for (const IndexEntry* entry : index->of_repository(repository)) {
    if (!is_manifest(entry->descriptor.media_type) || !store.has(entry->descriptor.digest)) continue;
    try {
      const Manifest document = parse_manifest(store.read(entry->descriptor.digest));
      if (auto found = blob_in(document, digest)) return Needed{entry->descriptor.digest, std::move(*found)};
    } catch (const Error& error) {  // damaged: the next who asks for it brings it anew
      if (error.kind() == ErrorKind::Infrastructure) throw;
    }
  }
  return std::nullopt;
}

// What the upstream did wrong, in words for whoever asked here.
[[noreturn]] void explain(const Error& error, const std::string& repository, const UpstreamRule& rule) {
  const std::string what = repository + " is a copy of what " + rule.registry + " has";
  if (dynamic_cast<const Denied*>(&error))
    throw Error(ErrorKind::NotFound,
                what + ", which denies it to this server, or has no such name: " + error.full(),
                error.hint());
  throw Error(ErrorKind::Unavailable, what + ", and it could not be asked: " + error.full(), error.hint());
}

}  // namespace

Upstreams::Upstreams(Store& store, Client& client, Options options)
    : store_(store),
      client_(client),
      options_(std::move(options)),
      name_(std::string(kPseudonym) + random_hex(8)),
      blobs_(store, options_.guarded ? RepositoryBlobs::Shows::Own : RepositoryBlobs::Shows::AllButDeleted) {}

const UpstreamRule* Upstreams::rule_of(std::string_view repository) const {
  const UpstreamRule* longest = nullptr;
  for (const UpstreamRule& rule : options_.rules)
    if (repository.size() > rule.prefix.size() && repository.starts_with(rule.prefix) &&
        repository[rule.prefix.size()] == '/' && (!longest || rule.prefix.size() > longest->prefix.size()))
      longest = &rule;
  return longest;
}

void Upstreams::once(const std::string& name, const std::function<void()>& work) {
  std::packaged_task<void()> task(work);
  std::unique_lock lock(mutex_);
  const auto [it, mine] = under_way_.try_emplace(name);
  if (mine) it->second = task.get_future().share();
  const std::shared_future<void> outcome = it->second;
  lock.unlock();
  if (mine) {
    task();
    lock.lock();
    under_way_.erase(name);
    lock.unlock();
  }
  outcome.get();
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
  const auto asked = pushed_at(entry->descriptor);
  return asked && options_.clock->now() - *asked < rule.tag_age;
}

// Only what registries like this one have put there goes on: proxies before it are nobody else's business.
std::string Upstreams::pass_on(std::string_view via, std::string_view repository,
                               const UpstreamRule& rule) const {
  std::string out;
  for (const std::string& one : split(via, ',')) {
    const std::string_view entry = trim(one);
    const std::string_view by = trim(entry.substr(std::min(entry.size(), entry.find(' '))));
    if (by == name_)
      throw RegistryHooks::Loop(ErrorKind::Invalid,
                                std::string(repository) + " is a copy of what " + rule.registry +
                                    " has, and that asks this server for it",
                                "correct `registry` of the upstream \"" + rule.prefix + "\" in config.toml");
    if (by.starts_with(kPseudonym)) out += std::string(entry) + ", ";
  }
  return out + "1.1 " + name_;
}

bool Upstreams::is_known_missing(const std::string& name) {
  std::lock_guard lock(mutex_);
  const auto it = missing_.find(name);
  if (it == missing_.end()) return false;
  if (options_.clock->now() - it->second < kStaysMissing) return true;
  missing_.erase(it);
  return false;
}

void Upstreams::note_missing(const std::string& name) {
  std::lock_guard lock(mutex_);
  if (missing_.size() >= kMissing) missing_.clear();
  missing_[name] = options_.clock->now();
}

void Upstreams::manifest(std::string_view repository, std::string_view reference, std::string_view via) {
  const UpstreamRule* rule = rule_of(repository);
  if (!rule || !(is_tag(reference) || Digest::parse(reference))) return;
  const std::string name(repository), which(reference);
  if (is_known(name, which, *rule)) return;
  const std::string chain = pass_on(via, repository, *rule);
  if (is_known_missing(name + " " + which)) return;
  once(name + " " + which, [&] {
    // Whoever was a little quicker may have brought it.
    if (!is_known(name, which, *rule)) fetch_manifest(name, which, *rule, chain);
  });
}

void Upstreams::blob(std::string_view repository, const Digest& digest, std::string_view via) {
  const UpstreamRule* rule = rule_of(repository);
  const std::string name(repository);
  if (!rule || is_here(name, digest)) return;
  const std::string chain = pass_on(via, repository, *rule);
  if (is_known_missing(blob_name(name, digest))) return;
  once(blob_name(name, digest), [&] {
    if (!is_here(name, digest)) fetch_blob(name, digest, *rule, chain);
  });
}

std::optional<uint64_t> Upstreams::blob_size(std::string_view repository, const Digest& digest) {
  const std::string name(repository);
  if (!rule_of(repository) || is_here(name, digest)) return std::nullopt;
  const auto needed = find_blob(store_, name, digest);
  return needed ? std::optional(needed->blob.size) : std::nullopt;
}

bool Upstreams::is_here(const std::string& repository, const Digest& blob) {
  return store_.has(blob) && blobs_.shows(repository, blob);
}

void Upstreams::fetch_manifest(const std::string& repository, const std::string& reference,
                               const UpstreamRule& rule, const std::string& via) {
  const bool by_digest = Digest::parse(reference).has_value();
  const auto index = store_.index();
  const IndexEntry* older = by_digest ? nullptr : index->find(repository + ":" + reference);
  const bool there = older && store_.has(older->descriptor.digest);
  try {
    const Reference upstream = at_upstream(repository, reference, rule);
    if (there) {
      const auto now = client_.resolve(upstream, options_.stop, via);
      if (now && now->digest == older->descriptor.digest)
        return keep(repository, reference, {older->descriptor, store_.read(now->digest)});
    }
    keep(repository, by_digest ? "" : reference,
         client_.source(upstream, {}, via)->manifest({}, options_.stop));
  } catch (const Error& error) {
    // What is here of it, if anything, is the answer.
    if (error.kind() == ErrorKind::NotFound) return note_missing(repository + " " + reference);
    if (!there) explain(error, repository, rule);
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
  entry.annotations[RepositoryBlobs::kSparse] = "true";
  Descriptor untagged = entry;
  untagged.annotations[Store::kRepository] = repository;
  note_subject(untagged, parse_document(fetched.bytes, "manifest"));
  entry.annotations[kPushed] = format_rfc3339(options_.clock->now());
  store_.update([&](IndexEdit& edit) {
    edit.add(untagged);
    if (!tag.empty()) edit.name(repository + ":" + tag, entry);
  });
}

void Upstreams::fetch_blob(const std::string& repository, const Digest& digest, const UpstreamRule& rule,
                           const std::string& via) {
  const auto no_progress = [](uint64_t) {};
  try {
    auto found = look_for(repository, digest, rule, via);
    if (!found) return note_missing(blob_name(repository, digest));
    if (store_.has(digest)) {
      DigestSink proof(found->blob);
      found->source->read_blob(found->blob, proof, no_progress, options_.stop);
    } else {
      StoreTarget(store_).put_blob(found->blob, *found->source, no_progress, options_.stop);
    }
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::NotFound) return;
    explain(error, repository, rule);
  }
  blobs_.add(repository, digest);
}

std::optional<Client::FoundBlob> Upstreams::look_for(const std::string& repository, const Digest& digest,
                                                     const UpstreamRule& rule, const std::string& via) {
  const auto needed = find_blob(store_, repository, digest);
  if (!needed)  // its manifest has come another way, or is to come yet
    return client_.find_blob(at_upstream(repository, digest.text(), rule), digest, options_.stop, via);
  auto source = client_.source(at_upstream(repository, needed->manifest.text(), rule), {}, via);
  source->manifest({}, options_.stop);  // finds which of the upstream's mirrors has the image
  return Client::FoundBlob{needed->blob, std::move(source)};
}

}  // namespace kiln::registry
