#include "registry/client.h"

#include "base/error.h"
#include "registry/client/hosts.h"
#include "registry/copy/copy.h"
#include "registry/copy/registry_place.h"
#include "registry/copy/store_place.h"
#include "registry/store/store.h"

namespace kiln::registry {

struct Client::State {
  explicit State(Options given) : options(std::move(given)), hosts(options) {}
  const Options options;
  detail::Hosts hosts;
};

Client::Client() : Client(Options{}) {}
Client::Client(Options options) : state_(std::make_unique<State>(std::move(options))) {}
Client::~Client() = default;
const CredentialFiles& Client::credentials() const {
  return state_->hosts.credentials();
}

std::unique_ptr<ImageSource> Client::source(const Reference& reference, std::vector<std::string> credentials,
                                            std::string via) {
  return std::make_unique<detail::RegistrySource>(state_->hosts, reference, std::move(credentials),
                                                  std::move(via));
}

std::optional<Client::FoundBlob> Client::find_blob(const Reference& reference, const Digest& digest,
                                                   std::stop_token stop, std::string via) {
  auto source = std::make_unique<detail::RegistrySource>(state_->hosts, reference, std::vector<std::string>{},
                                                         std::move(via));
  auto blob = source->find_blob(digest, std::move(stop));
  if (!blob) return std::nullopt;
  return FoundBlob{std::move(*blob), std::move(source)};
}

std::unique_ptr<ImageTarget> Client::target(const Reference& reference, std::string mount_from) {
  return std::make_unique<detail::RegistryTarget>(state_->hosts, reference, std::move(mount_from));
}

std::optional<Descriptor> Client::resolve(const Reference& reference, std::stop_token stop, std::string via) {
  return detail::RegistrySource(state_->hosts, reference, {}, std::move(via)).resolve(std::move(stop));
}

FetchedManifest Client::fetch_manifest(const Reference& reference, std::stop_token stop) {
  return source(reference)->manifest({}, std::move(stop));
}

std::string Client::fetch_blob(const Reference& reference, const Descriptor& descriptor,
                               std::stop_token stop) {
  return detail::RegistrySource(state_->hosts, reference).blob(descriptor, std::move(stop));
}

Image Client::pull(const Reference& reference, Store& store, const TransferOptions& transfer,
                   std::string_view architecture) {
  const auto from = source(reference, transfer.credentials);
  StoreTarget to(store);
  CopyOptions options;
  if (!architecture.empty()) options.platform->architecture = architecture;
  options.connections = state_->options.connections;
  options.transfer = transfer;
  return store.load(copy_image(*from, to, options));
}

Descriptor Client::push(const Store& store, const Descriptor& descriptor, const Reference& reference,
                        const TransferOptions& transfer) {
  StoreSource from(store, descriptor);
  const auto to = target(reference, transfer.mount_from);
  CopyOptions options;
  options.platform.reset();
  options.connections = state_->options.connections;
  options.transfer = transfer;
  return copy_image(from, *to, options);
}

void Client::check_login(std::string_view host, std::stop_token stop) {
  HttpResponse response;
  try {
    response = state_->hosts.session(std::string(host))->send({}, "/v2/", "pull", {}, std::move(stop));
  } catch (const Denied& error) {
    throw Error(ErrorKind::Failed, error.full(), error.hint());
  }
  if (!response.ok())
    throw Error(ErrorKind::Unavailable, "registry " + std::string(host) + " answers " +
                                            std::to_string(response.status) +
                                            " to /v2/; it may be no registry");
}

}  // namespace kiln::registry
