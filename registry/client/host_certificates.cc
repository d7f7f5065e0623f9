#include "registry/client/host_certificates.h"

#include <algorithm>

#include "base/error.h"
#include "base/fs.h"
#include "registry/client/containers_folder.h"

namespace kiln::registry {
namespace {

TlsOptions read(const fs::path& folder) {
  TlsOptions out;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::ranges::sort(files);
  const auto other_half = [](fs::path file, const char* extension) {
    const fs::path other = fs::path(file).replace_extension(extension);
    if (fs::exists(other)) return other.string();
    throw Error(ErrorKind::Invalid, file.string() + " has no " + other.filename().string() + " beside it",
                "a client's certificate is NAME.cert with NAME.key; a CA's is NAME.crt");
  };
  for (const fs::path& file : files) {
    if (file.extension() == ".crt") out.authorities += read_file(file, 1u << 20) + "\n";
    if (file.extension() == ".key") other_half(file, ".cert");
    if (file.extension() != ".cert" || !out.client_certificate.empty()) continue;
    out.client_key = other_half(file, ".key");
    out.client_certificate = file.string();
  }
  return out;
}

}  // namespace

HostCertificates::HostCertificates(const Environment& environment, const fs::path& system) {
  if (const fs::path user = user_containers_folder(environment); !user.empty())
    folders_.push_back(user / "certs.d");
  folders_.push_back(system / "containers/certs.d");
  folders_.push_back(system / "docker/certs.d");
}

TlsOptions HostCertificates::of(const std::string& authority) {
  std::lock_guard lock(mutex_);
  if (const auto it = known_.find(authority); it != known_.end()) return it->second;
  TlsOptions out;
  const auto folder = std::ranges::find_if(
      folders_, [&](const fs::path& parent) { return fs::is_directory(parent / authority); });
  if (folder != folders_.end()) out = read(*folder / authority);
  return known_.emplace(authority, std::move(out)).first->second;
}

}  // namespace kiln::registry
