#include "registry/copy/registry_place.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "registry/client/token.h"
#include "registry/client/transfer.h"
#include "registry/document.h"
#include "registry/referrers.h"

namespace kiln::registry::detail {
namespace {

using nlohmann::json;

constexpr uint64_t kManifestLimit = 4u << 20, kBlobLimit = 64u << 20;

std::string accepted_types() {
  std::string out;
  for (const std::string_view type :
       {media::kIndex, media::kManifest, media::kDockerIndex, media::kDockerManifest}) {
    if (!out.empty()) out += ", ";
    out += type;
  }
  return out;
}

std::string manifest_target(const Session& session, const std::string& which) {
  return "/v2/" + session.repository() + "/manifests/" + which;
}

Error unexpected(const Session& session, const HttpResponse& response, const std::string& doing) {
  return Error(ErrorKind::Infrastructure, "registry " + session.host() + " answers " +
                                              std::to_string(response.status) + " to " + doing + ": " +
                                              explanation(response).substr(0, 300));
}

// Docker's manifests until 2016: other documents altogether.
bool is_schema1(std::string_view type, const std::string& bytes) {
  if (type.starts_with("application/vnd.docker.distribution.manifest.v1+")) return true;
  const json document = json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  return document.is_object() && document.contains("fsLayers") &&
         document.value("schemaVersion", json()) == 1;
}

FetchedManifest fetch(Session& session, const std::string& which, const std::optional<Digest>& expected,
                      const std::stop_token& stop) {
  HttpRequest request;
  request.headers.add("Accept", accepted_types());
  std::string bytes;
  const HttpSink sink = [&](const HttpResponse&, std::string_view piece) {
    if (bytes.size() + piece.size() > kManifestLimit)
      throw Error(ErrorKind::Infrastructure,
                  "registry " + session.host() + " sends a manifest larger than 4 MiB");
    bytes += piece;
  };
  // A second attempt after a broken connection starts from the beginning.
  HttpResponse response;
  for (int attempt = 1;; ++attempt) {
    bytes.clear();
    try {
      response = session.send(request, manifest_target(session, which), "pull", sink, stop);
      break;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Unavailable || bytes.empty() || !session.pause(attempt, {}, stop)) throw;
    }
  }
  if (response.status == 404)
    throw Error(ErrorKind::NotFound,
                "registry " + session.host() + " has no image " + session.host() + "/" +
                    session.repository() + (expected ? "@" : ":") + which,
                "check the name and the tag");
  if (!response.ok()) throw unexpected(session, response, "a request for " + session.repository());
  if (is_schema1(response.headers.get("Content-Type"), bytes))
    throw Error(ErrorKind::Infrastructure,
                "registry " + session.host() + " has " + session.repository() +
                    " as an image of Docker's schema 1 only, which is not supported",
                "push it again with a Docker of 2017 or newer, which writes schema 2");
  std::optional<Digest> digest = expected;
  if (!digest) digest = Digest::parse(response.headers.get("Docker-Content-Digest"));
  try {
    FetchedManifest out = checked_manifest(std::move(bytes), response.headers.get("Content-Type"), digest);
    if (is_index(out.descriptor.media_type))
      parse_index(out.bytes);
    else if (is_manifest(out.descriptor.media_type))
      parse_manifest(out.bytes);
    return out;
  } catch (const Error& error) {
    throw Error(ErrorKind::Infrastructure,
                "registry " + session.host() + " sent something else than the manifest " + which + ": " +
                    error.full(),
                "ask who runs it");
  }
}

HttpResponse put(Session& session, const std::string& which, const FetchedManifest& manifest,
                 const std::stop_token& stop) {
  HttpRequest request{.method = "PUT", .body = HttpBody::of_text(manifest.bytes)};
  request.headers.add("Content-Type", manifest.descriptor.media_type);
  HttpResponse response = session.send(request, manifest_target(session, which), "pull,push", {}, stop);
  if (response.status == 409)
    throw Error(ErrorKind::Infrastructure,
                "registry " + session.host() + " keeps what " + session.repository() +
                    " has: " + explanation(response).substr(0, 300),
                "push it under another tag");
  if (response.status != 201) throw unexpected(session, response, "the manifest of " + session.repository());
  return response;
}

// distribution-spec, "Pushing Manifests with Subject": where the registry keeps no list of referrers, who
// pushes one does, in a tag's index. Two that do so at once may lose an entry, as the specification has it.
void list_as_referrer(Session& session, const FetchedManifest& manifest, const std::stop_token& stop) {
  const json document = parse_document(manifest.bytes, "manifest");
  if (!document.contains("subject") || !document["subject"].is_object()) return;
  const std::string tag = referrers_tag(parse_descriptor(document["subject"]).digest);
  json index{{"schemaVersion", 2}, {"mediaType", media::kIndex}, {"manifests", json::array()}};
  try {
    const FetchedManifest known = fetch(session, tag, {}, stop);
    if (is_index(known.descriptor.media_type)) index = json::parse(known.bytes);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;
  }
  json& entries = index["manifests"];
  const std::string digest = manifest.descriptor.digest.text();
  if (std::ranges::any_of(entries, [&](const json& one) { return one.value("digest", "") == digest; }))
    return;
  entries.push_back(referrer_entry(manifest.descriptor, document));
  Descriptor descriptor;
  descriptor.media_type = media::kIndex;
  put(session, tag, {descriptor, index.dump()}, stop);
}

}  // namespace

template <class Ask>
auto RegistrySource::ask_places(const Ask& ask) {
  const std::vector<RegistryPlace> places = hosts_.to_pull(reference_);
  std::string before;
  for (size_t i = 0;; ++i) {
    auto session = hosts_.session(places[i], credentials_);
    session->set_via(via_);
    try {
      auto answer = ask(*session, places[i].reference);
      if (answer || i + 1 == places.size()) {
        if (answer) session_ = std::move(session);
        return answer;
      }
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::Cancelled) throw;
      if (i + 1 < places.size()) {
        before += "; its mirror: " + error.full();
        continue;
      }
      if (before.empty()) throw;  // what it is (Denied) may count
      throw Error(error.kind(), error.full() + before, error.hint());
    }
  }
}

Session& RegistrySource::session(const std::stop_token& stop) {
  if (!session_) manifest({}, stop);
  return *session_;
}

FetchedManifest RegistrySource::manifest(const std::optional<Descriptor>& which, std::stop_token stop) {
  if (which) return fetch(session(stop), which->digest.text(), which->digest, stop);
  return *ask_places([&](Session& at, const Reference& reference) {
    return std::optional(fetch(at, reference.tag_or_digest(), reference.digest, stop));
  });
}

std::optional<Descriptor> RegistrySource::resolve(std::stop_token stop) {
  return ask_places([&](Session& at, const Reference& reference) -> std::optional<Descriptor> {
    HttpRequest request{.method = "HEAD"};
    request.headers.add("Accept", accepted_types());
    const HttpResponse response =
        at.send(request, manifest_target(at, reference.tag_or_digest()), "pull", {}, stop);
    if (response.status == 404) return std::nullopt;
    const auto digest = Digest::parse(response.headers.get("Docker-Content-Digest"));
    if (response.ok() && digest) {
      Descriptor out;
      out.media_type = response.headers.get("Content-Type");
      out.digest = *digest;
      out.size = std::strtoull(std::string(response.headers.get("Content-Length")).c_str(), nullptr, 10);
      return out;
    }
    try {  // a registry that does not do HEAD properly
      return fetch(at, reference.tag_or_digest(), reference.digest, stop).descriptor;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::NotFound) return std::nullopt;
      throw;
    }
  });
}

std::optional<Descriptor> RegistrySource::find_blob(const Digest& digest, std::stop_token stop) {
  return ask_places([&](Session& at, const Reference&) -> std::optional<Descriptor> {
    const HttpResponse response =
        at.send({.method = "HEAD"}, "/v2/" + at.repository() + "/blobs/" + digest.text(), "pull", {}, stop);
    if (response.status == 404) return std::nullopt;
    const std::string length(response.headers.get("Content-Length"));
    if (!response.ok() || length.empty())
      throw unexpected(at, response, "a look for blob " + digest.short_text());
    Descriptor out;
    out.digest = digest;
    out.size = std::strtoull(length.c_str(), nullptr, 10);
    return out;
  });
}

std::string RegistrySource::blob(const Descriptor& blob, std::stop_token stop) {
  if (blob.size > kBlobLimit)
    throw Error(ErrorKind::Infrastructure, "blob " + blob.digest.short_text() + " of " + reference_.text() +
                                               " is said to have " + format_bytes(blob.size) + "; at most " +
                                               format_bytes(kBlobLimit) + " are taken");
  return *ask_places([&](Session& at, const Reference&) {
    TextSink sink(blob);
    download_blob(at, blob, sink, {}, stop);
    return std::optional(std::move(sink.text));
  });
}

void RegistrySource::read_blob(const Descriptor& blob, BlobSink& sink,
                               const std::function<void(uint64_t)>& progress, std::stop_token stop) {
  download_blob(*session_, blob, sink, progress, std::move(stop));
  hosts_.locations().saw(session_->host(), session_->repository(), blob.digest);
}

RegistryTarget::RegistryTarget(Hosts& hosts, Reference reference, std::string mount_from)
    : hosts_(hosts),
      place_(hosts.to_push(reference)),
      mount_from_(std::move(mount_from)),
      session_(hosts.session(place_)) {}

ImageTarget::Put RegistryTarget::put_blob(const Descriptor& blob, ImageSource& source,
                                          const std::function<void(uint64_t)>& progress,
                                          std::stop_token stop) {
  const auto& host = session_->host();
  const OnExit seen([&, failures = std::uncaught_exceptions()] {
    if (std::uncaught_exceptions() == failures)
      hosts_.locations().saw(host, session_->repository(), blob.digest);
  });
  if (has_blob(*session_, blob, stop)) return Put::Present;
  std::vector<std::string> repositories = hosts_.locations().repositories(host, blob.digest);
  if (!mount_from_.empty()) repositories.insert(repositories.begin(), mount_from_);
  if (mount_blob(*session_, blob, repositories, stop)) return Put::Mounted;

  std::optional<FilePart> part = source.file(blob);
  if (!part) {  // from registry to registry: an upload may have to start anew, so the bytes are kept for it
    part = FilePart{unnamed_file(), 0, blob.size};
    FileSink sink(part->fd.get(), 0, blob);
    source.read_blob(blob, sink, progress, stop);
  }
  if (part->size != blob.size)
    throw Error(ErrorKind::Invalid,
                "blob " + blob.digest.short_text() + " has " + format_bytes(part->size) +
                    ", where its manifest says " + format_bytes(blob.size),
                "the image is damaged; pull or build it again");
  upload_blob(
      *session_, blob, *part, [&] { source.verify(blob); }, progress, std::move(stop));
  return Put::Moved;
}

void RegistryTarget::put_manifest(const FetchedManifest& manifest, bool top, std::stop_token stop) {
  const std::string& tag = place_.reference.tag;
  const Digest& digest = manifest.descriptor.digest;
  if (top && place_.reference.digest && *place_.reference.digest != digest)
    throw Error(ErrorKind::Usage,
                "the image is " + digest.text() + ", and cannot be put where another digest is named",
                "leave out @" + place_.reference.digest->text());
  const HttpResponse response = put(*session_, top && !tag.empty() ? tag : digest.text(), manifest, stop);
  if (response.headers.get("OCI-Subject").empty()) list_as_referrer(*session_, manifest, stop);
}

}  // namespace kiln::registry::detail
