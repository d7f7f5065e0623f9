#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "registry/client/blob_locations.h"
#include "registry/client/client_options.h"
#include "registry/client/host_certificates.h"
#include "registry/client/registries_conf.h"
#include "registry/client/session.h"
#include "registry/reference.h"

// Inside of registry/client.cc: how registries are found and spoken to, for all that one Client does.
// Thread-safe.
namespace kiln::registry::detail {

class Hosts {
 public:
  explicit Hosts(const ClientOptions& options);

  // The places of an image in the order to try, at least one. Throws NotFound for a name of the store only.
  std::vector<RegistryPlace> to_pull(const Reference& reference);
  RegistryPlace to_push(const Reference& reference);

  // https; plain http only for the machine itself and what registries.conf calls insecure, where TLS is not
  // spoken. A mirror that does not answer is not insisted on.
  std::unique_ptr<Session> session(const RegistryPlace& place,
                                   const std::vector<std::string>& credentials = {});
  std::unique_ptr<Session> session(const std::string& host);  // about no repository

  const CredentialFiles& credentials() const { return credentials_; }
  BlobLocations& locations() { return locations_; }
  int connections() const { return connections_; }

 private:
  const RegistriesConf& conf();
  Url origin(const std::string& host, bool insecure);
  TlsOptions tls_for(const Url& url);

  const RetryPolicy retries_;
  const int connections_;
  const Environment environment_;
  const std::filesystem::path system_;
  CredentialFiles credentials_;
  HostCertificates certificates_;
  BlobLocations locations_;
  std::mutex mutex_;                            // guards what follows
  std::unique_ptr<const RegistriesConf> conf_;  // read when first asked for
  std::map<std::string, std::string> schemes_;  // by host, as found out
  std::set<std::string> insecure_;              // "HOST:PORT"
  HttpClient http_;                             // last: asks the rest
};

}  // namespace kiln::registry::detail
