#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "registry/document.h"
#include "registry/referrers.h"
#include "registry/server/entry_notes.h"
#include "registry/server/server_manifests.h"
#include "registry/store/store.h"

// What is about a manifest (distribution-spec, "Listing Referrers").
namespace kiln::registry::detail {
namespace {

using nlohmann::json;

// In the order of their digests, which holds from page to page whatever comes and goes between.
std::vector<const IndexEntry*> referrers_of(const StoreIndex& index, const std::string& repository,
                                            const Digest& subject, std::string_view after) {
  std::vector<const IndexEntry*> found;
  for (const IndexEntry* entry : index.of_repository(repository)) {
    const auto noted = entry->descriptor.annotations.find(kSubject);
    if (noted != entry->descriptor.annotations.end() && noted->second == subject.text() &&
        entry->descriptor.digest.text() > after)
      found.push_back(entry);
  }
  std::ranges::sort(found, {}, [](const IndexEntry* entry) { return entry->descriptor.digest; });
  return found;
}

// The list's item; null for a manifest that cannot be read, or of another type.
json item_of(const Store& store, const Descriptor& entry, const std::optional<std::string>& wanted) {
  if (!store.has(entry.digest)) return nullptr;
  json item;
  try {  // what came before there were limits, or not by a push, may be anything
    item = referrer_entry(entry, parse_document(store.read(entry.digest), "manifest"));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Infrastructure) throw;
    return nullptr;
  }
  if (wanted && item.value("artifactType", "") != *wanted) return nullptr;
  return item;
}

}  // namespace

Answer ManifestEndpoints::referrers(const Route& route, const std::optional<std::string>& artifact_type,
                                    const std::optional<std::string>& last) const {
  const auto subject = Digest::parse(route.argument);
  if (!subject) return error_answer(400, "DIGEST_INVALID", "\"" + route.argument + "\" is not a digest");
  Answer answer;
  answer.headers.add("Content-Type", std::string(media::kIndex));
  if (artifact_type) answer.headers.add("OCI-Filters-Applied", "artifactType");
  answer.body = R"({"schemaVersion":2,"mediaType":")" + std::string(media::kIndex) + R"(","manifests":[)";
  std::string shown_last;
  const auto index = store_.index();
  for (const IndexEntry* entry : referrers_of(*index, route.repository, *subject, last.value_or(""))) {
    const json item = item_of(store_, entry->descriptor, artifact_type);
    if (item.is_null()) continue;
    const std::string text = item.dump(-1, ' ', false, json::error_handler_t::replace);
    if (!shown_last.empty() && answer.body.size() + text.size() + 3 > options_.referrers_limit) {
      std::string next = "/v2/" + route.repository + "/referrers/" + subject->text() +
                         "?last=" + percent_encode(shown_last, ":");
      if (artifact_type) next += "&artifactType=" + percent_encode(*artifact_type, "");
      answer.headers.add("Link", "<" + next + ">; rel=\"next\"");
      break;
    }
    if (!shown_last.empty()) answer.body += ',';
    answer.body += text;
    shown_last = entry->descriptor.digest.text();
  }
  answer.body += "]}";
  return answer;
}

}  // namespace kiln::registry::detail
