#include "steps/host_network.h"

#include <optional>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "steps/ca_bundle.h"

namespace kiln::steps {
namespace {

// Where package managers get packages from. Settings that name folders of the host, or change what is built,
// do not belong here.
constexpr const char* kRegistrySettings[] = {"npm_config_registry",
                                             "NPM_CONFIG_REGISTRY",
                                             "COREPACK_NPM_REGISTRY",
                                             "YARN_REGISTRY",
                                             "YARN_NPM_REGISTRY_SERVER",
                                             "PIP_INDEX_URL",
                                             "PIP_EXTRA_INDEX_URL",
                                             "PIP_TRUSTED_HOST",
                                             "PIP_DEFAULT_TIMEOUT",
                                             "UV_INDEX_URL",
                                             "UV_EXTRA_INDEX_URL",
                                             "UV_DEFAULT_INDEX",
                                             "UV_INDEX",
                                             "GOPROXY",
                                             "GOSUMDB",
                                             "GONOPROXY",
                                             "GONOSUMDB",
                                             "GOPRIVATE",
                                             "GOINSECURE",
                                             "RUBYGEMS_HOST",
                                             "BUNDLE_MIRROR__ALL",
                                             "CARGO_REGISTRIES_CRATES_IO_PROTOCOL"};

constexpr const char* kProxies[] = {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"};

// Every tool has its own name for the same file.
constexpr const char* kCaVariables[] = {"SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
                                        "GIT_SSL_CAINFO"};

// The file that a path leads to; none where there is none, or where this user may not go or read.
std::optional<fs::path> readable_file(const fs::path& path) {
  std::error_code problem;
  fs::path file = fs::canonical(path, problem);
  if (problem || !fs::is_regular_file(file, problem) || ::access(file.c_str(), R_OK) != 0)
    return std::nullopt;
  return file;
}

std::optional<fs::path> ca_bundle(const Environment& environment) {
  if (const auto named = environment.find("SSL_CERT_FILE"); named != environment.end())
    if (auto file = readable_file(named->second)) return file;
  for (const char* path : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                           "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"})
    if (auto file = readable_file(path)) return file;
  return std::nullopt;
}

std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

}  // namespace

HostNetwork host_network(const Environment& environment, const fs::path& folder, Network network,
                         bool host_root) {
  std::map<std::string, std::string> env;
  const auto inherit = [&](const std::string& name) {
    if (const auto found = environment.find(name); found != environment.end()) env[name] = found->second;
  };
  for (const char* name : kProxies) {
    inherit(name);
    inherit(upper(name));
  }
  for (const char* name : kRegistrySettings) inherit(name);

  HostNetwork result;
  const auto bind = [&](const fs::path& source, std::string_view destination) {
    result.mounts.push_back({.source = source, .destination = destination, .read_only = true});
  };
  if (const auto bundle = ca_bundle(environment)) {
    for (const char* name : kCaVariables) env[name] = host_root ? bundle->native() : std::string(kCaBundle);
    if (!host_root) bind(*bundle, kCaBundle);
    if (const std::string extra = extra_certificates(*bundle); !extra.empty()) {
      const fs::path file = folder / "extra-certificates.pem";
      write_file(file, extra);
      env["NODE_EXTRA_CA_CERTS"] = host_root ? file.native() : std::string(kExtraCertificates);
      if (!host_root) bind(file, kExtraCertificates);
    }
  }
  const auto bind_same = [&](const char* path) {
    if (host_root) return;
    if (const auto file = readable_file(path)) bind(*file, path);
  };
  if (network != Network::None) bind_same("/etc/resolv.conf");
  if (network == Network::Host) bind_same("/etc/hosts");
  for (const auto& [name, value] : env) result.env.push_back(name + "=" + value);
  return result;
}

void prepare_host_network(const Environment& environment) {
  try {
    if (const auto bundle = ca_bundle(environment)) extra_certificates(*bundle);
  } catch (const std::exception&) {  // whoever needs it says so
  }
}

}  // namespace kiln::steps
