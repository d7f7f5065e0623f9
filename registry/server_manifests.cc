#include "registry/server_manifests.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "registry/reference.h"
#include "registry/store.h"

namespace kiln::registry::detail {
namespace {

using nlohmann::json;

// Every manifest pushed to a repository has an entry of its own in index.json, without a name, so that it
// stays when its tag moves on. Subject and type are noted there to answer "referrers" without reading all.
constexpr const char* kRepository = "dev.kiln.registry.repository";
constexpr const char* kSubject = "dev.kiln.registry.subject";

std::string annotation(const Descriptor& entry, const char* name) {
  const auto it = entry.annotations.find(name);
  return it == entry.annotations.end() ? std::string{} : it->second;
}

// ("hello", "v1") of a named entry that is visible as a repository's tag.
std::optional<std::pair<std::string, std::string>> visible_tag(const Descriptor& entry) {
  const std::string name = annotation(entry, Store::kRefName);
  const size_t colon = name.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  std::string repository = name.substr(0, colon), tag = name.substr(colon + 1);
  if (!is_repository_name(repository) || !is_tag(tag)) return std::nullopt;
  return std::pair{std::move(repository), std::move(tag)};
}

bool is_in_repository(const Descriptor& entry, const std::string& repository) {
  if (annotation(entry, kRepository) == repository) return true;
  const auto tag = visible_tag(entry);
  return tag && tag->first == repository;
}

Answer name_unknown(const std::string& repository) {
  return error_answer(404, "NAME_UNKNOWN", "there is no repository " + repository + " here");
}

Answer manifest_unknown(const Route& route) {
  return error_answer(404, "MANIFEST_UNKNOWN",
                      "repository " + route.repository + " has no manifest " + route.argument);
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

// The blobs a manifest cannot do without.
std::vector<Digest> required_blobs(const Manifest& manifest) {
  std::vector<Digest> out{manifest.config.digest};
  for (const Descriptor& layer : manifest.layers)
    if (layer.media_type.find("foreign") == std::string::npos &&
        layer.media_type.find("nondistributable") == std::string::npos)
      out.push_back(layer.digest);
  return out;
}

}  // namespace

Answer ManifestEndpoints::get(const Route& route) const {
  const auto digest = Digest::parse(route.argument);
  bool repository_seen = false;
  for (const Descriptor& entry : store_.entries()) {
    if (!is_in_repository(entry, route.repository)) continue;
    repository_seen = true;
    const auto tag = visible_tag(entry);
    if (digest ? entry.digest != *digest : !tag || tag->second != route.argument) continue;
    Answer answer;
    try {
      answer.body = store_.read(entry.digest);
    } catch (const Error& error) {  // lost, or damaged and put aside: whoever has it may push it again
      if (error.kind() == ErrorKind::Infrastructure) throw;
      return manifest_unknown(route);
    }
    answer.headers.add("Content-Type", entry.media_type);
    answer.headers.add("Docker-Content-Digest", entry.digest.text());
    answer.headers.add("ETag", "\"" + entry.digest.text() + "\"");
    return answer;
  }
  return repository_seen ? manifest_unknown(route) : name_unknown(route.repository);
}

Answer ManifestEndpoints::put(const Route& route, std::string_view content_type,
                              const std::vector<std::string>& extra_tags, const std::string& bytes) const {
  const auto invalid = [](std::string_view why) { return error_answer(400, "MANIFEST_INVALID", why); };
  std::optional<Digest> wanted = Digest::parse(route.argument);
  if (!wanted && route.argument.find(':') != std::string::npos)
    return error_answer(400, "DIGEST_INVALID", "\"" + route.argument + "\" is not a digest");
  std::vector<std::string> tags = extra_tags;
  if (!wanted) tags.push_back(route.argument);
  for (const std::string& tag : tags)
    if (!is_tag(tag)) return error_answer(400, "TAG_INVALID", "\"" + tag + "\" is not a tag");

  Hasher hasher(wanted ? wanted->algorithm() : "sha256");
  hasher.update(bytes);
  const Digest digest = hasher.finish();
  if (wanted && digest != *wanted)
    return error_answer(400, "DIGEST_INVALID", "the manifest's digest is " + digest.text());

  const json document = json::parse(bytes, nullptr, false);
  if (!document.is_object()) return invalid("the manifest is not a JSON object");
  std::string type(trim(content_type.substr(0, content_type.find(';'))));
  if (document.contains("mediaType") && document["mediaType"].is_string()) {
    const std::string own = document["mediaType"].get<std::string>();
    if (type.empty()) type = own;
    if (type != own) return invalid("Content-Type says " + type + ", the manifest itself " + own);
  }
  if (type.empty()) type = document.contains("manifests") ? media::kIndex : media::kManifest;
  Descriptor entry{type, digest, bytes.size(), {{kRepository, route.repository}}, {}, {}, {}};
  try {
    if (is_manifest(type)) {
      for (const Digest& blob : required_blobs(parse_manifest(bytes)))
        if (!store_.has(blob))
          return error_answer(404, "MANIFEST_BLOB_UNKNOWN",
                              "the manifest needs blob " + blob.text() + ", which is not here");
    } else if (is_index(type)) {
      parse_index(bytes);  // its manifests may come later, or never: a sparse index is allowed
    }
    if (document.contains("subject") && document["subject"].is_object())
      entry.annotations[kSubject] = parse_descriptor(document["subject"]).digest.text();
  } catch (const Error& error) {
    return invalid(error.full());
  }

  BlobWriter writer = store_.begin_blob(digest.algorithm());
  writer.write(bytes);
  writer.commit(digest);
  store_.update([&](std::vector<Descriptor>& all) {
    const size_t before = all.size();
    bool changed = false;
    if (std::find(all.begin(), all.end(), entry) == all.end()) all.push_back(entry);
    for (const std::string& tag : tags) {
      Descriptor named{type, digest, bytes.size(), {{Store::kRefName, route.repository + ":" + tag}}, {},
                       {},   {}};
      const auto same_name = [&](const Descriptor& e) {
        return annotation(e, Store::kRefName) == named.annotations[Store::kRefName];
      };
      const auto it = std::find_if(all.begin(), all.end(), same_name);
      if (it == all.end()) {
        all.push_back(named);
      } else if (*it != named) {
        *it = named;
        changed = true;
      }
    }
    return changed || all.size() != before;
  });
  if (options_.on_push) {
    if (tags.empty()) options_.on_push({route.repository, {}, entry});
    for (const std::string& tag : tags) options_.on_push({route.repository, tag, entry});
  }

  Answer answer{201, {}, {}};
  answer.headers.add("Location", "/v2/" + route.repository + "/manifests/" + digest.text());
  answer.headers.add("Docker-Content-Digest", digest.text());
  if (const std::string subject = annotation(entry, kSubject); !subject.empty())
    answer.headers.add("OCI-Subject", subject);
  for (const std::string& tag : extra_tags) answer.headers.add("OCI-Tag", tag);
  return answer;
}

Answer ManifestEndpoints::remove(const Route& route) const {
  if (!options_.allow_delete) return error_answer(405, "UNSUPPORTED", "this registry does not delete");
  const auto digest = Digest::parse(route.argument);
  bool found = false;
  store_.update([&](std::vector<Descriptor>& all) {
    found = std::erase_if(all, [&](const Descriptor& entry) {
              if (!is_in_repository(entry, route.repository)) return false;
              const auto tag = visible_tag(entry);
              return digest ? entry.digest == *digest : tag && tag->second == route.argument;
            }) > 0;
    return found;
  });
  return found ? Answer{202, {}, {}} : manifest_unknown(route);
}

Answer ManifestEndpoints::tags(const Route& route, const std::optional<std::string>& n,
                               const std::optional<std::string>& last) const {
  std::set<std::string> tags;
  bool seen = false;
  for (const Descriptor& entry : store_.entries()) {
    if (!is_in_repository(entry, route.repository)) continue;
    seen = true;
    if (auto tag = visible_tag(entry)) tags.insert(std::move(tag->second));
  }
  if (!seen) return name_unknown(route.repository);
  return page_of(tags, n, last, "/v2/" + route.repository + "/tags/list", "tags",
                 {{"name", route.repository}});
}

Answer ManifestEndpoints::catalog(const std::optional<std::string>& n,
                                  const std::optional<std::string>& last) const {
  std::set<std::string> repositories;
  for (const Descriptor& entry : store_.entries()) {
    if (std::string name = annotation(entry, kRepository); !name.empty())
      repositories.insert(std::move(name));
    else if (auto tag = visible_tag(entry))
      repositories.insert(std::move(tag->first));
  }
  return page_of(repositories, n, last, "/v2/_catalog", "repositories", json::object());
}

Answer ManifestEndpoints::referrers(const Route& route,
                                    const std::optional<std::string>& artifact_type) const {
  const auto subject = Digest::parse(route.argument);
  if (!subject) return error_answer(400, "DIGEST_INVALID", "\"" + route.argument + "\" is not a digest");
  json manifests = json::array();
  for (const Descriptor& entry : store_.entries()) {
    if (annotation(entry, kRepository) != route.repository || annotation(entry, kSubject) != subject->text())
      continue;
    const json document = json::parse(store_.read(entry.digest), nullptr, false);
    if (!document.is_object()) continue;
    // An image manifest without artifactType counts as its config's type (distribution-spec, "Listing
    // Referrers").
    std::string type = document.value("artifactType", "");
    if (type.empty() && document.contains("config") && document["config"].is_object())
      type = document["config"].value("mediaType", "");
    if (artifact_type && type != *artifact_type) continue;
    json item{{"mediaType", entry.media_type}, {"digest", entry.digest.text()}, {"size", entry.size}};
    if (!type.empty()) item["artifactType"] = type;
    if (document.contains("annotations") && document["annotations"].is_object())
      item["annotations"] = document["annotations"];
    manifests.push_back(std::move(item));
  }
  Answer answer;
  answer.headers.add("Content-Type", std::string(media::kIndex));
  if (artifact_type) answer.headers.add("OCI-Filters-Applied", "artifactType");
  answer.body =
      json{{"schemaVersion", 2}, {"mediaType", media::kIndex}, {"manifests", std::move(manifests)}}.dump();
  return answer;
}

Answer ManifestEndpoints::remove_blob(const Digest& digest) const {
  if (!options_.allow_delete) return error_answer(405, "UNSUPPORTED", "this registry does not delete");
  if (!store_.has(digest)) return error_answer(404, "BLOB_UNKNOWN", "there is no blob " + digest.text());
  // Blobs are shared by all repositories, and by images that were never pushed: one in use must stay.
  for (const Descriptor& entry : store_.entries()) {
    bool used = entry.digest == digest;
    if (is_manifest(entry.media_type) && store_.has(entry.digest)) {
      try {
        for (const Digest& blob : required_blobs(parse_manifest(store_.read(entry.digest))))
          used = used || blob == digest;
      } catch (const Error&) {  // a damaged manifest holds nothing
      }
    }
    if (used)
      return error_answer(405, "UNSUPPORTED",
                          "blob " + digest.text() + " belongs to a manifest that is still here");
  }
  store_.remove_blob(digest);
  return {202, {}, {}};
}

}  // namespace kiln::registry::detail
