#include "steps/ca_bundle.h"

#include <set>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::steps {
namespace {

constexpr const char* kMozilla = "/usr/share/ca-certificates/mozilla";
constexpr uint64_t kLimit = 16u << 20;

// Calls `visit(block, body)` for each certificate: with its armour, and its base64 without white space.
template <class Visit>
void for_each_certificate(const std::string& pem, const Visit& visit) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----", kEnd = "-----END CERTIFICATE-----";
  for (size_t at = 0; (at = pem.find(kBegin, at)) != std::string::npos;) {
    const size_t end = pem.find(kEnd, at);
    if (end == std::string::npos) return;
    std::string body = pem.substr(at + kBegin.size(), end - at - kBegin.size());
    std::erase_if(body, [](char c) { return c == '\n' || c == '\r' || c == ' ' || c == '\t'; });
    visit(pem.substr(at, end + kEnd.size() - at), body);
    at = end;
  }
}

std::string compute(const fs::path& bundle) {
  const std::string whole = read_file(bundle, kLimit);
  std::error_code missing;
  std::set<std::string> known;
  for (const auto& entry : fs::directory_iterator(kMozilla, missing))
    for_each_certificate(read_file(entry.path(), kLimit),
                         [&](const std::string&, std::string body) { known.insert(std::move(body)); });
  if (known.empty()) return whole;
  std::string extra;
  for_each_certificate(whole, [&](const std::string& block, const std::string& body) {
    if (!known.contains(body)) extra += block + "\n";
  });
  return extra;
}

}  // namespace

std::string extra_certificates(const fs::path& bundle) {
  static std::mutex mutex;
  static std::map<fs::path, std::string> computed;
  const std::lock_guard guard(mutex);
  const auto known = computed.find(bundle);
  if (known != computed.end()) return known->second;
  return computed.emplace(bundle, compute(bundle)).first->second;
}

}  // namespace kiln::steps
