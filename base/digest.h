#pragma once

#include <compare>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace kiln {

// A content digest, "sha256:<64 hex>" or "sha512:<128 hex>" (OCI image-spec, descriptor.md "Digests").
// A Digest is well-formed, so its parts are safe as file names; a default-constructed one is empty and stands
// for "none yet".
class Digest {
 public:
  Digest() = default;
  bool empty() const { return text_.empty(); }
  // nullopt unless the algorithm is known and the encoding has its exact length in lower-case hex.
  static std::optional<Digest> parse(std::string_view text);
  // As parse, but throws Invalid.
  static Digest of_text(std::string_view text);

  const std::string& text() const { return text_; }
  std::string_view algorithm() const { return std::string_view(text_).substr(0, text_.find(':')); }
  std::string_view encoded() const { return std::string_view(text_).substr(text_.find(':') + 1); }
  std::string short_text() const { return std::string(encoded().substr(0, 12)); }
  auto operator<=>(const Digest&) const = default;

 private:
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// Incremental hashing (OpenSSL EVP, SHA-NI where the machine has it). Not thread-safe; one per stream.
class Hasher {
 public:
  explicit Hasher(std::string_view algorithm = "sha256");  // throws Invalid for an unknown one
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();
  void update(std::string_view bytes);
  Digest finish();  // the hasher starts anew afterwards

 private:
  std::string algorithm_;
  evp_md_ctx_st* context_;
};

Digest sha256(std::string_view bytes);

// In hex. Only for names that others make with it; no protection against anybody.
std::string md5(std::string_view bytes);

// The code of RFC 2104 over SHA-256: 32 bytes, not hex.
std::string hmac_sha256(std::string_view key, std::string_view bytes);

// Equality in time that depends on the lengths only. For secrets, signatures and tokens.
bool equal_constant_time(std::string_view a, std::string_view b);

}  // namespace kiln

template <>
struct std::hash<kiln::Digest> {
  size_t operator()(const kiln::Digest& digest) const noexcept {
    return std::hash<std::string>{}(digest.text());
  }
};
