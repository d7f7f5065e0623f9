#include "registry/client.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "registry/store.h"
#include "registry/transfer.h"

namespace kiln::registry {
namespace {

constexpr uint64_t kConfigLimit = 64u << 20, kManifestLimit = 4u << 20;
constexpr int kIndexDepthLimit = 4;

std::string accepted_types() {
  std::string out;
  for (const std::string_view type :
       {media::kIndex, media::kManifest, media::kDockerIndex, media::kDockerManifest}) {
    if (!out.empty()) out += ", ";
    out += type;
  }
  return out;
}

Error no_such_manifest(const Reference& reference) {
  return Error(ErrorKind::NotFound, "registry " + reference.host + " has no image " + reference.text(),
               "check the name and the tag");
}

// Before it is used for anything, a manifest must be what it was asked for as.
FetchedManifest checked(const HttpResponse& response, const std::string& host,
                        const std::optional<Digest>& expected) {
  std::optional<Digest> digest = expected;
  if (!digest) digest = Digest::parse(response.headers.get("Docker-Content-Digest"));
  Hasher hasher(digest ? digest->algorithm() : "sha256");
  hasher.update(response.body);
  const Digest actual = hasher.finish();
  if (digest && *digest != actual)
    throw Error(ErrorKind::Infrastructure, "registry " + host + " sent a manifest with digest " +
                                               actual.text() + " for " + digest->text());
  std::string type(response.headers.get("Content-Type"));
  type = std::string(trim(type.substr(0, type.find(';'))));
  // The document's own word counts more: some servers label everything as plain JSON.
  const auto document = nlohmann::json::parse(response.body, nullptr, false);
  if (document.is_object() && document.contains("mediaType") && document["mediaType"].is_string())
    type = document["mediaType"].get<std::string>();
  else if (!is_manifest(type) && !is_index(type))
    type = document.is_object() && document.contains("manifests") ? media::kIndex : media::kManifest;
  return {{std::move(type), actual, response.body.size(), {}, {}, {}, {}}, response.body};
}

}  // namespace

struct Client::State {
  explicit State(Options given)
      : options(std::move(given)), http(options.http), credentials(options.environment) {}
  Session session(const Reference& reference) { return session(reference, credentials); }
  Session session(const Reference& reference, const CredentialFiles& files) {
    if (reference.is_local())
      throw Error(ErrorKind::NotFound,
                  "\"" + reference.text() + "\" is a name of this machine's image store only",
                  "kiln/… images are made with `kiln stack create`");
    return Session(http, files, reference.host, reference.repository, options.retries);
  }
  FetchedManifest manifest(Session& session, const Reference& reference, const std::string& which,
                           const std::optional<Digest>& expected, std::stop_token stop) {
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
        response =
            session.send(request, "/v2/" + session.repository() + "/manifests/" + which, "pull", sink, stop);
        break;
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::Unavailable || bytes.empty() || !session.pause(attempt, {}, stop))
          throw;
      }
    }
    if (response.status == 404) throw no_such_manifest(reference);
    if (!response.ok())
      throw Error(ErrorKind::Unavailable, "registry " + session.host() + " answers " +
                                              std::to_string(response.status) + " to a request for " +
                                              reference.text());
    response.body = std::move(bytes);
    return checked(response, session.host(), expected);
  }
  void push_tree(Session& session, const Store& store, const Descriptor& descriptor,
                 const std::string& target, const TransferOptions& transfer, detail::Observed& observed,
                 int depth);

  const Options options;
  HttpClient http;
  CredentialFiles credentials;
};

Client::Client() : Client(Options{}) {}
Client::Client(Options options) : state_(std::make_unique<State>(std::move(options))) {}
Client::~Client() = default;
const CredentialFiles& Client::credentials() const {
  return state_->credentials;
}

std::optional<Descriptor> Client::resolve(const Reference& reference, std::stop_token stop) {
  Session session = state_->session(reference);
  HttpRequest request{.method = "HEAD"};
  request.headers.add("Accept", accepted_types());
  const HttpResponse response = session.send(
      request, "/v2/" + reference.repository + "/manifests/" + reference.tag_or_digest(), "pull", {}, stop);
  if (response.status == 404) return std::nullopt;
  const auto digest = Digest::parse(response.headers.get("Docker-Content-Digest"));
  if (response.ok() && digest)
    return Descriptor{std::string(response.headers.get("Content-Type")),
                      *digest,
                      std::strtoull(std::string(response.headers.get("Content-Length")).c_str(), nullptr, 10),
                      {},
                      {},
                      {},
                      {}};
  try {  // a registry that does not do HEAD properly
    return fetch_manifest(reference, stop).descriptor;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::NotFound) return std::nullopt;
    throw;
  }
}

FetchedManifest Client::fetch_manifest(const Reference& reference, std::stop_token stop) {
  Session session = state_->session(reference);
  return state_->manifest(session, reference, reference.tag_or_digest(), reference.digest, stop);
}

std::string Client::fetch_blob(const Reference& reference, const Descriptor& descriptor,
                               std::stop_token stop) {
  Session session = state_->session(reference);
  const HttpResponse response = session.send(
      {}, "/v2/" + reference.repository + "/blobs/" + descriptor.digest.text(), "pull", {}, stop);
  if (!response.ok())
    throw Error(ErrorKind::NotFound,
                "registry " + reference.host + " has no blob " + descriptor.digest.text());
  Hasher hasher(descriptor.digest.algorithm());
  hasher.update(response.body);
  if (hasher.finish() != descriptor.digest)
    throw Error(ErrorKind::Infrastructure,
                "registry " + reference.host + " sent other content for " + descriptor.digest.text());
  return response.body;
}

Image Client::pull(const Reference& reference, Store& store, const TransferOptions& transfer,
                   std::string_view architecture) {
  const CredentialFiles files = state_->credentials.after(transfer.credentials);
  Session session = state_->session(reference, files);
  const std::string wanted = architecture.empty() ? machine_architecture() : std::string(architecture);
  FetchedManifest fetched =
      state_->manifest(session, reference, reference.tag_or_digest(), reference.digest, transfer.stop);
  for (int depth = 0; is_index(fetched.descriptor.media_type); ++depth) {
    if (depth == kIndexDepthLimit)
      throw Error(ErrorKind::Invalid, "the image index of " + reference.text() + " is nested too deeply");
    const Descriptor entry = select_platform(fetched.bytes, "linux", wanted);
    fetched = state_->manifest(session, reference, entry.digest.text(), entry.digest, transfer.stop);
  }
  const Manifest manifest = parse_manifest(fetched.bytes);
  if (manifest.config.size > kConfigLimit)
    throw Error(ErrorKind::Infrastructure, "the configuration of " + reference.text() + " is said to have " +
                                               format_bytes(manifest.config.size) + "; at most " +
                                               format_bytes(kConfigLimit) + " are taken");

  std::vector<Descriptor> blobs;
  std::set<Digest> seen;
  for (const Descriptor& layer : manifest.layers)
    if (seen.insert(layer.digest).second) blobs.push_back(layer);
  if (seen.insert(manifest.config.digest).second) blobs.push_back(manifest.config);
  detail::Observed observed(transfer.observer);
  detail::for_each_parallel(blobs, state_->options.connections, transfer.stop,
                            [&](const Descriptor& blob, std::stop_token stop) {
                              detail::download_blob(session, store, blob, observed, stop);
                            });
  Descriptor stored = store.put(fetched.bytes, fetched.descriptor.media_type);
  if (stored.digest != fetched.descriptor.digest) {  // named by another algorithm
    BlobWriter writer = store.begin_blob(fetched.descriptor.digest.algorithm());
    writer.write(fetched.bytes);
    stored.digest = writer.commit(fetched.descriptor.digest);
  }
  return store.load(stored);
}

void Client::State::push_tree(Session& session, const Store& store, const Descriptor& descriptor,
                              const std::string& target, const TransferOptions& transfer,
                              detail::Observed& observed, int depth) {
  const std::string bytes = store.read(descriptor.digest);
  if (is_index(descriptor.media_type)) {
    if (depth == kIndexDepthLimit)
      throw Error(ErrorKind::Invalid,
                  "the image index " + descriptor.digest.text() + " is nested too deeply");
    for (const Descriptor& child : parse_index(bytes))
      push_tree(session, store, child, child.digest.text(), transfer, observed, depth + 1);
  } else {
    const Manifest manifest = parse_manifest(bytes);
    std::vector<Descriptor> blobs;
    std::set<Digest> seen;
    for (const Descriptor& layer : manifest.layers)
      if (seen.insert(layer.digest).second) blobs.push_back(layer);
    if (seen.insert(manifest.config.digest).second) blobs.push_back(manifest.config);
    // Layers that may not be distributed are not in the store either; their manifest says where they are.
    std::erase_if(blobs, [&](const Descriptor& blob) {
      return (blob.media_type.find("foreign") != std::string::npos ||
              blob.media_type.find("nondistributable") != std::string::npos) &&
             !store.has(blob.digest);
    });
    detail::for_each_parallel(
        blobs, options.connections, transfer.stop, [&](const Descriptor& blob, std::stop_token stop) {
          detail::upload_blob(session, store, blob, transfer.mount_from, observed, stop);
        });
  }
  HttpRequest request{.method = "PUT", .body = HttpBody::of_text(bytes)};
  request.headers.add("Content-Type", descriptor.media_type);
  const HttpResponse response = session.send(request, "/v2/" + session.repository() + "/manifests/" + target,
                                             "pull,push", {}, transfer.stop);
  if (response.status != 201)
    throw Error(ErrorKind::Unavailable, "registry " + session.host() + " does not take the manifest of " +
                                            session.repository() + ": " + std::to_string(response.status) +
                                            " " + response.body.substr(0, 300));
  observed.tell(TransferEvent::Kind::Done, descriptor, descriptor.size);
}

Descriptor Client::push(const Store& store, const Descriptor& descriptor, const Reference& reference,
                        const TransferOptions& transfer) {
  Session session = state_->session(reference);
  detail::Observed observed(transfer.observer);
  Descriptor plain = descriptor;
  plain.annotations.clear();
  if (plain.media_type.empty()) plain.media_type = media::kManifest;
  state_->push_tree(session, store, plain, reference.tag.empty() ? plain.digest.text() : reference.tag,
                    transfer, observed, 0);
  return plain;
}

void Client::check_login(std::string_view host, std::stop_token stop) {
  Session session(state_->http, state_->credentials, std::string(host), "", state_->options.retries);
  const HttpResponse response = session.send({}, "/v2/", "pull", {}, stop);
  if (!response.ok())
    throw Error(ErrorKind::Unavailable, "registry " + std::string(host) + " answers " +
                                            std::to_string(response.status) +
                                            " to /v2/; it may be no registry");
}

}  // namespace kiln::registry
