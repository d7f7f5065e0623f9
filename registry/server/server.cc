#include "registry/server/server.h"

#include <atomic>
#include <boost/system/system_error.hpp>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "registry/reference.h"
#include "registry/server/lazy_pool.h"
#include "registry/server/registry_metrics.h"
#include "registry/server/server_answers.h"
#include "registry/server/server_auth.h"
#include "registry/server/server_manifests.h"
#include "registry/server/server_route.h"
#include "registry/server/server_uploads.h"
#include "registry/store/store.h"

namespace kiln::registry {

using detail::add_common;
using detail::Answer;
using detail::blob_headers;
using detail::Caller;
using detail::endpoint_of;
using detail::error_answer;
using detail::failure_answer;
using detail::Route;

namespace {

// Who waits for another registry, and for the disk; beyond, they wait in line.
constexpr size_t kBringers = 32, kWriters = 64;
constexpr size_t kBringing = 512;      // with those in line
constexpr uint64_t kPiece = 1u << 20;  // of a blob that is sent
constexpr std::string_view kOwnImages = "kiln/";

// Counts a request when it is over, however it ends: a client that went away has no status.
class Counted {
 public:
  Counted(RegistryMetrics& metrics, const HttpExchange& exchange) : metrics_(metrics), exchange_(exchange) {
    metrics_.request_began();
  }
  ~Counted() {
    metrics_.request_ended(endpoint_of(exchange_.path()), exchange_.method(), status,
                           std::chrono::steady_clock::now() - began_);
  }
  int status = 499;

 private:
  RegistryMetrics& metrics_;
  const HttpExchange& exchange_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace

struct RegistryServer::State {
  State(Store& content, Options given)
      : store(content),
        options(std::move(given)),
        blobs(store, options.settings.htpasswd.empty() ? RepositoryBlobs::Shows::AllButDeleted
                                                       : RepositoryBlobs::Shows::Own),
        manifests(store, options, blobs),
        uploads(store, options, blobs, metrics, writers) {
    if (options.settings.htpasswd.empty()) return;
    authentication.emplace(options.settings, options.token_key, *options.clock);
    blobs.prune();
  }

  Awaitable<Answer> answer(HttpExchange& exchange);
  Awaitable<std::optional<Answer>> refuse(HttpExchange& exchange, const Route& route, Caller& caller);
  Awaitable<void> bring(const HttpExchange& exchange, const Route& route);
  Awaitable<Answer> get_blob(HttpExchange& exchange, const Route& route);

  Awaitable<Answer> answer(HttpExchange& exchange, const Route& route, const Caller& caller);
  Awaitable<Answer> get_manifest(HttpExchange& exchange, const Route& route, const Caller& caller);
  Awaitable<Answer> put_manifest(HttpExchange& exchange, const Route& route, const Caller& caller);
  Awaitable<bool> has_blob(HttpExchange& exchange, const Route& route, const Digest& digest);
  Awaitable<Answer> send_head(HttpExchange& exchange, const Digest& digest, uint64_t size);
  Awaitable<Answer> send_blob(HttpExchange& exchange, const Digest& digest);
  Awaitable<void> send_range(HttpExchange& exchange, int fd, const detail::ByteRange& range);

  Store& store;
  const Options options;
  RegistryMetrics metrics;
  detail::LazyPool writers{kWriters};
  RepositoryBlobs blobs;
  detail::ManifestEndpoints manifests;
  detail::UploadEndpoints uploads;
  std::optional<detail::Authentication> authentication;  // where there are users
  std::atomic<size_t> bringing{0};
  detail::LazyPool bringers{kBringers};  // last: they use the rest
};

RegistryServer::RegistryServer(Store& store) : RegistryServer(store, Options{}) {}
RegistryServer::RegistryServer(Store& store, Options options)
    : state_(std::make_unique<State>(store, std::move(options))) {}
RegistryServer::~RegistryServer() = default;

bool RegistryServer::handles(std::string_view path) {
  return path == "/v2" || path.starts_with("/v2/");
}

const RegistryMetrics& RegistryServer::metrics() const {
  return state_->metrics;
}

Awaitable<void> RegistryServer::handle(HttpExchange& exchange) {
  Counted counted(state_->metrics, exchange);
  Answer answer;
  try {
    answer = co_await state_->answer(exchange);
  } catch (const Error& error) {
    if (exchange.started()) throw;
    answer = failure_answer(error, exchange.path());
  } catch (const boost::system::system_error&) {  // the client went away
    throw;
  } catch (const std::exception& error) {
    if (exchange.started()) throw;
    spdlog::error("registry: {} {}: {}", exchange.method(), exchange.path(), error.what());
    answer = error_answer(500, "UNKNOWN", error.what());
  }
  counted.status = answer.status;
  if (answer.sent) co_return;
  if (answer.status == 405)
    answer.headers.add("Allow",
                       detail::allowed_methods(exchange.path(), state_->options.settings, exchange.method()));
  add_common(answer.headers);
  co_await exchange.respond(answer.status, std::move(answer.headers), answer.body);
}

Awaitable<Answer> RegistryServer::State::answer(HttpExchange& exchange) {
  if (authentication && exchange.path() == "/v2/token") co_return co_await authentication->token(exchange);
  const auto route = detail::parse_route(exchange.path());
  const bool reads = exchange.method() == "GET" || exchange.method() == "HEAD";
  if (!route) co_return error_answer(404, "UNSUPPORTED", "the registry has no such endpoint");
  if (route->kind != Route::Kind::Base && route->kind != Route::Kind::Catalog &&
      !is_repository_name(route->repository))
    co_return error_answer(reads ? 404 : 400, "NAME_INVALID",
                           "\"" + route->repository + "\" is not a repository name");
  Caller caller;
  caller.remote = exchange.remote_address();
  caller.request = {std::string(exchange.header("Host")), std::string(exchange.method()),
                    std::string(exchange.header("User-Agent"))};
  if (auto refusal = co_await refuse(exchange, *route, caller)) co_return std::move(*refusal);
  if (reads) co_await bring(exchange, *route);
  if (route->kind == Route::Kind::Blob && reads) co_return co_await get_blob(exchange, *route);
  co_return co_await answer(exchange, *route, caller);
}

// What the owner does not let this caller do. Tells who the caller is.
Awaitable<std::optional<Answer>> RegistryServer::State::refuse(HttpExchange& exchange, const Route& route,
                                                               Caller& caller) {
  if (authentication) {
    if (auto refusal = co_await authentication->identify(exchange, caller)) co_return refusal;
    if (auto refusal = authentication->refuse(exchange, caller, route)) co_return refusal;
  }
  const bool reads = exchange.method() == "GET" || exchange.method() == "HEAD";
  if (!reads && options.settings.read_only)
    co_return error_answer(405, "UNSUPPORTED", "this registry is read-only");
  if (!reads && !options.settings.own_images && (route.repository + "/").starts_with(kOwnImages))
    co_return error_answer(403, "DENIED",
                           "what is below " + std::string(kOwnImages) +
                               " are images that this machine runs itself; push under another name, or let "
                               "its owner set `own-images = true` in [registry]");
  co_return std::nullopt;
}

// What a copy of another registry lacks to answer.
Awaitable<void> RegistryServer::State::bring(const HttpExchange& exchange, const Route& route) {
  const bool manifest = route.kind == Route::Kind::Manifest;
  const bool blob = route.kind == Route::Kind::Blob && exchange.method() != "HEAD";
  if (!options.hooks || (!manifest && !blob)) co_return;
  if (!options.hooks->is_elsewhere(route.repository)) co_return;
  const auto digest = Digest::parse(route.argument);
  std::string via;
  for (const std::string_view line : exchange.headers().all("Via")) via += std::string(line) + ",";
  OnExit one_less([&] { --bringing; });
  if (++bringing > kBringing)
    throw Error(ErrorKind::Unavailable, "too many clients wait for other registries at once");
  co_await on_pool(bringers.get(), [&] {
    if (manifest)
      options.hooks->before_manifest(route.repository, route.argument, via);
    else if (digest)
      options.hooks->before_blob(route.repository, *digest, via);
  });
}

Awaitable<Answer> RegistryServer::State::get_blob(HttpExchange& exchange, const Route& route) {
  const auto digest = Digest::parse(route.argument);
  if (!digest) co_return error_answer(404, "DIGEST_INVALID", "\"" + route.argument + "\" is not a digest");
  const bool there = co_await has_blob(exchange, route, *digest);
  if (!there && exchange.method() == "HEAD" && options.hooks) {
    const auto size =
        co_await exchange.on_pool([&] { return options.hooks->size_elsewhere(route.repository, *digest); });
    if (size) co_return co_await send_head(exchange, *digest, *size);
  }
  if (!there) co_return error_answer(404, "BLOB_UNKNOWN", "there is no blob " + route.argument);
  co_return co_await send_blob(exchange, *digest);
}

Awaitable<Answer> RegistryServer::State::answer(HttpExchange& exchange, const Route& route,
                                                const Caller& caller) {
  const std::string_view method = exchange.method();
  const bool reads = method == "GET" || method == "HEAD";
  const auto n = exchange.query_value("n"), last = exchange.query_value("last");
  Answer result = error_answer(405, "UNSUPPORTED", "the endpoint does not know this method");
  switch (route.kind) {
    case Route::Kind::Base:
      if (reads) {
        result = {200, {}, "{}"};
        result.headers.add("Content-Type", "application/json");
      }
      break;
    case Route::Kind::Catalog:
      if (reads) result = co_await exchange.on_pool([&] { return manifests.catalog(caller, n, last); });
      break;
    case Route::Kind::Tags:
      if (reads) result = co_await exchange.on_pool([&] { return manifests.tags(route, n, last); });
      break;
    case Route::Kind::Referrers:
      if (reads) {
        const auto type = exchange.query_value("artifactType");
        result = co_await exchange.on_pool([&] { return manifests.referrers(route, type, last); });
      }
      break;
    case Route::Kind::Manifest:
      if (reads)
        result = co_await get_manifest(exchange, route, caller);
      else if (method == "PUT")
        result = co_await put_manifest(exchange, route, caller);
      else if (method == "DELETE")
        result = co_await exchange.on_pool([&] { return manifests.remove(route, caller); });
      break;
    case Route::Kind::Blob:
      if (method == "DELETE")
        result = co_await exchange.on_pool([&] { return manifests.remove_blob(route, caller); });
      break;
    case Route::Kind::Uploads:
      if (method == "POST") result = co_await uploads.begin(exchange, route, caller);
      break;
    case Route::Kind::Upload:
      if (method == "PATCH")
        result = co_await uploads.append(exchange, route, caller);
      else if (method == "PUT")
        result = co_await uploads.finish(exchange, route, caller);
      else if (method == "GET")
        result = co_await uploads.status(route, caller);
      else if (method == "DELETE")
        result = co_await uploads.cancel(route, caller);
      break;
  }
  co_return result;
}

Awaitable<Answer> RegistryServer::State::get_manifest(HttpExchange& exchange, const Route& route,
                                                      const Caller& caller) {
  const bool head = exchange.method() == "HEAD";
  const std::string_view known = exchange.header("If-None-Match");
  co_return co_await exchange.on_pool([&] { return manifests.get(route, caller, head, known); });
}

Awaitable<Answer> RegistryServer::State::put_manifest(HttpExchange& exchange, const Route& route,
                                                      const Caller& caller) {
  std::string bytes;
  bool too_large = exchange.content_length().value_or(0) > options.manifest_limit;
  if (!too_large) {
    try {
      bytes = co_await exchange.read_all(options.manifest_limit);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Invalid) throw;
      too_large = true;
    }
  }
  if (too_large)
    co_return error_answer(
        413, "SIZE_INVALID",
        "a manifest may have " + std::to_string(options.manifest_limit) + " bytes at most");
  const std::vector<std::string> tags = exchange.query_values("tag");
  co_return co_await on_pool(writers.get(), [&] {
    return manifests.put(route, caller, exchange.header("Content-Type"), tags, bytes);
  });
}

// What is sent is verified first; who asks by HEAD may be about to rely on it, so it is kept.
Awaitable<bool> RegistryServer::State::has_blob(HttpExchange& exchange, const Route& route,
                                                const Digest& digest) {
  const bool head = exchange.method() == "HEAD";
  // Quick enough for this thread.
  if (head && !authentication && !blobs.was_deleted(route.repository, digest)) co_return store.keep(digest);
  co_return co_await exchange.on_pool([&] {
    if (head) return manifests.has_blob(route.repository, digest);
    return blobs.shows(route.repository, digest) && store.heal(digest);
  });
}

// Of a blob that another registry has: as if it were here.
Awaitable<Answer> RegistryServer::State::send_head(HttpExchange& exchange, const Digest& digest,
                                                   uint64_t size) {
  co_await exchange.begin(200, blob_headers(digest), size);
  co_await exchange.finish();
  co_return Answer{200, {}, {}, /*sent=*/true};
}

// A transfer that breaks off counts with the pieces that went.
Awaitable<void> RegistryServer::State::send_range(HttpExchange& exchange, int fd,
                                                  const detail::ByteRange& range) {
  for (uint64_t done = 0; done < range.length;) {
    const uint64_t piece = std::min(range.length - done, kPiece);
    co_await exchange.send_file(fd, range.from + done, piece);
    metrics.sent(piece);
    done += piece;
  }
}

Awaitable<Answer> RegistryServer::State::send_blob(HttpExchange& exchange, const Digest& digest) {
  Answer sent{200, {}, {}, /*sent=*/true};
  UniqueFd fd = store.open(digest);
  const uint64_t size = store.size(digest).value_or(0);
  HttpHeaders headers = blob_headers(digest);
  if (detail::matches_etag(exchange.header("If-None-Match"), headers.get("ETag"))) {
    co_await exchange.begin(304, std::move(headers), size);
    sent.status = 304;
    co_return sent;
  }
  detail::ByteRange range{0, size};
  const bool counts = detail::is_range_of(exchange.header("If-Range"), headers.get("ETag"));
  switch (detail::parse_range(counts ? exchange.header("Range") : "", size, range)) {
    case detail::RangeKind::Unsatisfiable: {
      Answer answer = error_answer(416, "RANGE_INVALID", "the blob has " + std::to_string(size) + " bytes");
      answer.headers.add("Content-Range", "bytes */" + std::to_string(size));
      co_return answer;
    }
    case detail::RangeKind::Partial:
      headers.add("Content-Range", "bytes " + std::to_string(range.from) + "-" +
                                       std::to_string(range.from + range.length - 1) + "/" +
                                       std::to_string(size));
      sent.status = 206;
      co_await exchange.begin(206, std::move(headers), range.length);
      break;
    case detail::RangeKind::None:
      co_await exchange.begin(200, std::move(headers), size);
      break;
  }
  if (exchange.method() != "HEAD") co_await send_range(exchange, fd.get(), range);
  co_await exchange.finish();
  co_return sent;
}

}  // namespace kiln::registry
