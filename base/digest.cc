#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/error.h"
#include "base/text.h"

namespace kiln {
namespace {

size_t encoded_length(std::string_view algorithm) {
  if (algorithm == "sha256") return 64;
  if (algorithm == "sha512") return 128;
  return 0;
}

}  // namespace

std::optional<Digest> Digest::parse(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view encoded = text.substr(colon + 1);
  const size_t length = encoded_length(text.substr(0, colon));
  if (length == 0 || encoded.size() != length) return std::nullopt;
  if (encoded.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
  return Digest(std::string(text));
}

Digest Digest::of_text(std::string_view text) {
  if (auto digest = parse(text)) return *digest;
  throw Error(ErrorKind::Invalid, "\"" + std::string(text.substr(0, 160)) + "\" is not a digest",
              "a digest reads sha256:<64 hex digits>");
}

Hasher::Hasher(std::string_view algorithm) : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {
  const EVP_MD* type = algorithm == "sha256" ? EVP_sha256() : algorithm == "sha512" ? EVP_sha512() : nullptr;
  if (!type || !context_ || EVP_DigestInit_ex(context_, type, nullptr) != 1) {
    EVP_MD_CTX_free(context_);
    throw Error(ErrorKind::Invalid, "unknown digest algorithm \"" + std::string(algorithm) + "\"");
  }
}

Hasher::Hasher(Hasher&& other) noexcept
    : algorithm_(std::move(other.algorithm_)), context_(std::exchange(other.context_, nullptr)) {}

Hasher& Hasher::operator=(Hasher&& other) noexcept {
  std::swap(algorithm_, other.algorithm_);
  std::swap(context_, other.context_);
  return *this;
}

Hasher::~Hasher() {
  EVP_MD_CTX_free(context_);
}

void Hasher::update(std::string_view bytes) {
  EVP_DigestUpdate(context_, bytes.data(), bytes.size());
}

Digest Hasher::finish() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_DigestFinal_ex(context_, raw, &length);
  EVP_DigestInit_ex(context_, nullptr, nullptr);
  return Digest::of_text(algorithm_ + ":" + hex({reinterpret_cast<char*>(raw), length}));
}

Digest sha256(std::string_view bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

std::string md5(std::string_view bytes) {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_Digest(bytes.data(), bytes.size(), raw, &length, EVP_md5(), nullptr);
  return hex({reinterpret_cast<char*>(raw), length});
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), raw, &length);
  return {reinterpret_cast<char*>(raw), length};
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace kiln
