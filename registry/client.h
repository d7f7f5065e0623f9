#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "registry/client/client_options.h"
#include "registry/client/credentials.h"
#include "registry/client/transfer_options.h"
#include "registry/image.h"
#include "registry/reference.h"

namespace kiln::registry {

class Store;

class ImageSource;
class ImageTarget;

// The client of the distribution-spec 1.1. https, but for the machine itself, where plain http does where no
// TLS is spoken. Mirrors, other locations and certificates as the files of podman and docker say
// (registries_conf.h, host_certificates.h). Blobs move in parallel over a bounded number of connections.
// Thread-safe.
//
// Errors: NotFound for a manifest that is not there, Denied (Infrastructure) for denied access, Unavailable
// for a registry that does not answer (after retries), Infrastructure for content that is not what its digest
// says.
class Client {
 public:
  using Options = ClientOptions;
  Client();
  explicit Client(Options options);
  ~Client();

  // What the reference points to now (HEAD); nullopt when the registry does not have it.
  // `via`: Session::set_via.
  std::optional<Descriptor> resolve(const Reference& reference, std::stop_token stop = {},
                                    std::string via = {});
  // Manifest or index, verified; throws NotFound.
  FetchedManifest fetch_manifest(const Reference& reference, std::stop_token stop = {});
  // A small blob of the repository (an image's config), verified.
  std::string fetch_blob(const Reference& reference, const Descriptor& descriptor, std::stop_token stop = {});

  // Brings manifest, config and layers for `os`/`architecture` (default: this machine) into the store. Blobs
  // that are there are not moved; a broken download carries on where it stopped. Does not tag.
  Image pull(const Reference& reference, Store& store, const TransferOptions& options = {},
             std::string_view architecture = {});

  // Sends what `descriptor` (manifest or index) names in the store, blobs first, then the manifest to the
  // reference's tag. Nothing that the registry has is sent. Returns the descriptor as pushed.
  Descriptor push(const Store& store, const Descriptor& descriptor, const Reference& reference,
                  const TransferOptions& options = {});

  struct FoundBlob {
    Descriptor blob;  // digest and size
    std::unique_ptr<ImageSource> source;
  };
  // A blob of the reference's repository, whichever manifest needs it; nullopt when it is not there.
  std::optional<FoundBlob> find_blob(const Reference& reference, const Digest& digest,
                                     std::stop_token stop = {}, std::string via = {});
  // A registry as a place to copy from and to (copy.h). They must not outlive the client.
  // `credentials`: as in TransferOptions.
  std::unique_ptr<ImageSource> source(const Reference& reference, std::vector<std::string> credentials = {},
                                      std::string via = {});
  std::unique_ptr<ImageTarget> target(const Reference& reference, std::string mount_from = {});

  // Asks GET /v2/ with the given credentials; throws Failed when they are refused. For `kiln login`.
  void check_login(std::string_view host, std::stop_token stop = {});
  const CredentialFiles& credentials() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::registry
