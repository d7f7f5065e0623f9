#include "registry/server/server_manifests.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "registry/reference.h"
#include "registry/server/entry_notes.h"
#include "registry/server/pushed_manifest.h"
#include "registry/store/store.h"

namespace kiln::registry::detail {
namespace {

using nlohmann::json;

constexpr size_t kTagsOfAPush = 32;

Answer name_unknown(const std::string& repository) {
  return error_answer(404, "NAME_UNKNOWN", "there is no repository " + repository + " here");
}

Answer manifest_unknown(const Route& route) {
  return error_answer(404, "MANIFEST_UNKNOWN",
                      "repository " + route.repository + " has no manifest " + route.argument);
}

Answer blob_unknown(const Digest& blob) {
  return error_answer(404, "MANIFEST_BLOB_UNKNOWN",
                      "the manifest needs blob " + blob.text() + ", which is not here");
}

Answer immutable(const Route& route, const std::string& tag) {
  return error_answer(
      409, "DENIED", "tag " + tag + " of repository " + route.repository + " is immutable; push another one");
}

Answer json_answer(const json& document) {
  Answer answer;
  answer.headers.add("Content-Type", "application/json");
  answer.body = document.dump();
  return answer;
}

// n and last of a listing; nullopt for an n that is no number.
std::optional<size_t> page_size(const std::optional<std::string>& n) {
  if (!n) return SIZE_MAX;
  size_t value = 0;
  const auto [at, error] = std::from_chars(n->data(), n->data() + n->size(), value);
  if (n->empty() || error != std::errc{} || at != n->data() + n->size()) return std::nullopt;
  return value;
}

// The names after `last`, at most `n` of them, and a Link to the rest.
Answer page_of(const std::set<std::string>& names, const std::optional<std::string>& n,
               const std::optional<std::string>& last, const std::string& path, const char* member,
               json document) {
  const auto limit = page_size(n);
  if (!limit) return error_answer(400, "PAGINATION_NUMBER_INVALID", "n is not a number");
  json page = json::array();
  auto it = last ? names.upper_bound(*last) : names.begin();
  std::string shown_last;
  for (; it != names.end() && page.size() < *limit; ++it) page.push_back(shown_last = *it);
  document[member] = std::move(page);
  Answer answer = json_answer(document);
  if (it != names.end() && *limit > 0)
    answer.headers.add(
        "Link", "<" + path + "?n=" + *n + "&last=" + percent_encode(shown_last, "/") + ">; rel=\"next\"");
  return answer;
}

}  // namespace

Answer ManifestEndpoints::get(const Route& route, const Caller& caller, bool head,
                              std::string_view if_none_match) const {
  const auto index = store_.index();
  const auto& entries = index->of_repository(route.repository);
  if (entries.empty()) return name_unknown(route.repository);
  const auto digest = Digest::parse(route.argument);
  const auto it = std::ranges::find_if(entries, [&](const IndexEntry* entry) {
    return digest ? entry->descriptor.digest == *digest : entry->tag == route.argument;
  });
  if (it == entries.end() || route.argument.empty()) return manifest_unknown(route);
  const Descriptor& found = (*it)->descriptor;
  Answer answer;
  try {
    store_.keep(found.digest);  // somebody has asked for it (retention.h)
    answer.body = store_.read(found.digest);
  } catch (const Error& error) {  // lost, or damaged and put aside: whoever has it may push it again
    if (error.kind() == ErrorKind::Infrastructure) throw;
    return manifest_unknown(route);
  }
  answer.headers.add("Content-Type", found.media_type);
  answer.headers.add("Docker-Content-Digest", found.digest.text());
  answer.headers.add("ETag", "\"" + found.digest.text() + "\"");
  if (matches_etag(if_none_match, answer.headers.get("ETag"))) answer.status = 304;
  if (!head && answer.status == 200)
    tell(options_.hooks, caller, RegistryEvent::Action::Pull, route.repository, (*it)->tag, found);
  return answer;
}

Answer ManifestEndpoints::put(const Route& route, const Caller& caller, std::string_view content_type,
                              const std::vector<std::string>& extra_tags, const std::string& bytes) const {
  const auto invalid = [](std::string_view why) { return error_answer(400, "MANIFEST_INVALID", why); };
  std::optional<Digest> wanted = Digest::parse(route.argument);
  if (!wanted && route.argument.find(':') != std::string::npos)
    return error_answer(400, "DIGEST_INVALID", "\"" + route.argument + "\" is not a digest");
  if (extra_tags.size() > kTagsOfAPush)
    return error_answer(
        414, "TAG_INVALID",
        "a push may give " + std::to_string(kTagsOfAPush) + " tags at most by ?tag=; push again for more");
  std::vector<std::string> tags = extra_tags;
  if (!wanted) tags.push_back(route.argument);
  for (const std::string& tag : tags)
    if (!is_tag(tag)) return error_answer(400, "TAG_INVALID", "\"" + tag + "\" is not a tag");

  Hasher hasher(wanted ? wanted->algorithm() : "sha256");
  hasher.update(bytes);
  const Digest digest = hasher.finish();
  if (wanted && digest != *wanted)
    return error_answer(400, "DIGEST_INVALID", "the manifest's digest is " + digest.text());

  std::string type;
  Descriptor entry;
  std::vector<Digest> needed;
  std::map<std::string, std::string> marks;  // of all its entries
  try {
    const json document = parse_pushed(bytes);
    type = pushed_media_type(content_type, document);
    entry = {type, digest, bytes.size(), {{Store::kRepository, route.repository}}, {}, {}, {}};
    if (is_manifest(type)) {
      for (const Digest& blob : required_blobs(parse_manifest(bytes))) {
        const bool there = has_blob(route.repository, blob);
        if (!there && !options_.settings.sparse) return blob_unknown(blob);
        if (there) needed.push_back(blob);
        if (!there) marks[RepositoryBlobs::kSparse] = "true";
      }
    } else if (is_index(type)) {
      parse_index(bytes);  // its manifests may come later, or never: a sparse index is allowed
    }
    note_subject(entry, document);
  } catch (const Error& error) {
    return invalid(error.full());
  }
  entry.annotations.insert(marks.begin(), marks.end());
  RegistryHooks::Admission admission;
  if (options_.hooks) admission = options_.hooks->before_push(route.repository, tags, entry, bytes);
  if (const auto refusal = refused(admission.refusal)) return *refusal;

  BlobWriter writer = store_.begin_blob(digest.algorithm());
  writer.write(bytes);
  writer.commit_before_update(digest);
  std::map<std::string, std::string> of_tag = marks;
  of_tag[kPushed] = format_rfc3339(options_.clock->now());
  std::optional<Digest> lost;
  std::string fixed;
  store_.update([&](IndexEdit& edit) {
    // Under the lock, which collect() holds when it removes: what is there now is safe once it is named.
    needed.push_back(digest);
    for (const Digest& blob : needed)
      if (!store_.has(blob)) lost = blob;
    for (const std::string& tag : tags) {
      const IndexEntry* before = edit.find(route.repository + ":" + tag);
      if (before && before->descriptor.digest != digest && is_immutable(route, tag)) fixed = tag;
    }
    if (lost || !fixed.empty()) return;
    edit.add(entry);
    for (const std::string& tag : tags)
      edit.name(route.repository + ":" + tag, {type, digest, bytes.size(), of_tag, {}, {}, {}});
  });
  if (!fixed.empty()) return immutable(route, fixed);
  if (lost) return blob_unknown(*lost);
  using Action = RegistryEvent::Action;
  if (tags.empty()) tell(options_.hooks, caller, Action::Push, route.repository, {}, entry);
  for (const std::string& tag : tags)
    tell(options_.hooks, caller, Action::Push, route.repository, tag, entry);

  Answer answer{201, {}, {}};
  answer.headers.add("Location", "/v2/" + route.repository + "/manifests/" + digest.text());
  answer.headers.add("Docker-Content-Digest", digest.text());
  if (const auto subject = entry.annotations.find(kSubject); subject != entry.annotations.end())
    answer.headers.add("OCI-Subject", subject->second);
  for (const std::string& tag : extra_tags) answer.headers.add("OCI-Tag", tag);
  return answer;
}

Answer ManifestEndpoints::remove(const Route& route, const Caller& caller) const {
  if (!options_.settings.allow_delete)
    return error_answer(405, "UNSUPPORTED", "this registry does not delete");
  if (options_.hooks)
    if (auto refusal = refused(options_.hooks->before_delete(route.repository, route.argument)))
      return *refusal;
  const auto digest = Digest::parse(route.argument);
  std::optional<Descriptor> removed;
  std::string fixed;
  store_.update([&](IndexEdit& edit) {
    const auto is_meant = [&](const IndexEntry& entry) {
      return digest ? entry.descriptor.digest == *digest : entry.tag == route.argument;
    };
    edit.remove_if(route.repository, [&](const IndexEntry& entry) {
      if (is_meant(entry) && !entry.tag.empty() && is_immutable(route, entry.tag)) fixed = entry.tag;
      return false;
    });
    if (!fixed.empty()) return;
    edit.remove_if(route.repository, [&](const IndexEntry& entry) {
      if (is_meant(entry)) removed = entry.descriptor;
      return is_meant(entry);
    });
  });
  if (!fixed.empty()) return immutable(route, fixed);
  if (!removed) return manifest_unknown(route);
  tell(options_.hooks, caller, RegistryEvent::Action::Delete, route.repository, digest ? "" : route.argument,
       *removed);
  return {202, {}, {}};
}

bool ManifestEndpoints::is_immutable(const Route& route, const std::string& tag) const {
  return options_.hooks && options_.hooks->is_immutable(route.repository, tag);
}

Answer ManifestEndpoints::tags(const Route& route, const std::optional<std::string>& n,
                               const std::optional<std::string>& last) const {
  std::set<std::string> tags;
  const auto index = store_.index();
  const auto& entries = index->of_repository(route.repository);
  if (entries.empty()) return name_unknown(route.repository);
  for (const IndexEntry* entry : entries)
    if (!entry->tag.empty()) tags.insert(entry->tag);
  return page_of(tags, n, last, "/v2/" + route.repository + "/tags/list", "tags",
                 {{"name", route.repository}});
}

Answer ManifestEndpoints::catalog(const Caller& caller, const std::optional<std::string>& n,
                                  const std::optional<std::string>& last) const {
  std::set<std::string> repositories = store_.index()->repositories();
  std::erase_if(repositories, [&](const std::string& name) { return !caller.may_see(name); });
  return page_of(repositories, n, last, "/v2/_catalog", "repositories", json::object());
}

bool ManifestEndpoints::has_blob(const std::string& repository, const Digest& blob) const {
  // Once more, as collect() may have been about to forget that it was received.
  return blobs_.shows(repository, blob) && store_.keep(blob) && blobs_.shows(repository, blob);
}

bool ManifestEndpoints::needs(const Descriptor& entry, const Digest& blob) const {
  if (entry.digest == blob) return true;
  if (!is_manifest(entry.media_type) || !store_.has(entry.digest)) return false;
  try {
    const auto required = required_blobs(parse_manifest(store_.read(entry.digest)));
    return std::ranges::find(required, blob) != required.end();
  } catch (const Error&) {  // a damaged manifest holds nothing
    return false;
  }
}

Answer ManifestEndpoints::remove_blob(const Route& route, const Caller& caller) const {
  if (!options_.settings.allow_delete)
    return error_answer(405, "UNSUPPORTED", "this registry does not delete");
  const auto digest = Digest::parse(route.argument);
  if (!digest) return error_answer(400, "DIGEST_INVALID", "\"" + route.argument + "\" is not a digest");
  const auto size = store_.size(*digest);
  if (!size || !blobs_.has(route.repository, *digest))
    return error_answer(404, "BLOB_UNKNOWN", "there is no blob " + digest->text());
  const auto index = store_.index();
  std::set<Digest> known;  // those that do not need it
  if (std::ranges::any_of(index->of_repository(route.repository), [&](const IndexEntry* entry) {
        return known.insert(entry->descriptor.digest).second && needs(entry->descriptor, *digest);
      }))
    return error_answer(405, "UNSUPPORTED",
                        "blob " + digest->text() + " belongs to a manifest that is still here");
  // From this repository only: all share the file, and another may be about to rely on it. collect() removes
  // what nobody needs.
  blobs_.remove(route.repository, *digest);
  tell(options_.hooks, caller, RegistryEvent::Action::Delete, route.repository, {},
       {"application/octet-stream", *digest, *size, {}, {}, {}, {}});
  return {202, {}, {}};
}

}  // namespace kiln::registry::detail
