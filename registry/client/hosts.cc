#include "registry/client/hosts.h"

#include "base/error.h"

namespace kiln::registry::detail {
namespace {

constexpr int kMirrorAttempts = 2;

std::string host_and_port(const Url& url) {
  return url.host + ":" + std::to_string(url.port);
}

void check_not_local(const Reference& reference) {
  if (reference.is_local())
    throw Error(ErrorKind::NotFound,
                "\"" + reference.text() + "\" is a name of this machine's image store only",
                "kiln/… images are made with `kiln stack create`");
}

}  // namespace

Hosts::Hosts(const ClientOptions& options)
    : retries_(options.retries),
      connections_(options.connections),
      environment_(options.environment),
      system_(options.system_folder),
      credentials_(options.environment),
      certificates_(options.environment, options.system_folder),
      locations_(options.blob_locations),
      http_([&] {
        HttpClient::Options http = options.http;
        http.tls_for = [this](const Url& url) { return tls_for(url); };
        return http;
      }()) {}

const RegistriesConf& Hosts::conf() {
  std::lock_guard lock(mutex_);
  if (!conf_)
    conf_ = std::make_unique<RegistriesConf>(RegistriesConf::load(environment_, system_ / "containers"));
  return *conf_;
}

std::vector<RegistryPlace> Hosts::to_pull(const Reference& reference) {
  check_not_local(reference);
  return conf().to_pull(conf().full_name(reference));
}

RegistryPlace Hosts::to_push(const Reference& reference) {
  check_not_local(reference);
  return conf().to_push(conf().full_name(reference));
}

std::unique_ptr<Session> Hosts::session(const RegistryPlace& place,
                                        const std::vector<std::string>& credentials) {
  RetryPolicy retries = retries_;
  if (place.mirror) retries.attempts = std::min(retries.attempts, kMirrorAttempts);
  const std::string& host = place.reference.host;
  return std::make_unique<Session>(http_, credentials_.after(credentials), host, origin(host, place.insecure),
                                   place.reference.repository, retries);
}

std::unique_ptr<Session> Hosts::session(const std::string& host) {
  const bool insecure = conf().to_push(Reference::parse(host + "/x")).insecure;
  return std::make_unique<Session>(http_, credentials_, host, origin(host, insecure), "", retries_);
}

Url Hosts::origin(const std::string& host, bool insecure) {
  const std::string server = host == "docker.io" ? "registry-1.docker.io" : host;
  auto url = Url::parse("https://" + server + "/");
  if (!url)
    throw Error(ErrorKind::Invalid, "\"" + host + "\" is not a registry host", "write HOST or HOST:PORT");
  if (insecure) {
    std::lock_guard lock(mutex_);
    insecure_.insert(host_and_port(*url));
  }
  if (!insecure && !is_loopback_host(url->host)) return *url;
  {
    std::lock_guard lock(mutex_);
    if (const auto it = schemes_.find(host); it != schemes_.end())
      return *Url::parse(it->second + "://" + server + "/");
  }
  const std::optional<bool> tls = http_.speaks_tls(*url);
  const std::string scheme = tls.value_or(false) ? "https" : "http";
  if (tls) {  // who is down now may come back as another
    std::lock_guard lock(mutex_);
    schemes_[host] = scheme;
  }
  return *Url::parse(scheme + "://" + server + "/");
}

TlsOptions Hosts::tls_for(const Url& url) {
  TlsOptions out = certificates_.of(url.authority());
  std::lock_guard lock(mutex_);
  out.verify_peer = !insecure_.contains(host_and_port(url));
  return out;
}

}  // namespace kiln::registry::detail
