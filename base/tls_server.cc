#include "base/tls_server.h"

#include <chrono>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::detail {
namespace {

namespace ssl = boost::asio::ssl;

constexpr auto kLookAgain = std::chrono::seconds(1);
constexpr uint64_t kFileLimit = 1u << 20;

// OpenSSL's own words for what went wrong last, without its codes.
std::string reason() {
  const unsigned long code = ::ERR_peek_last_error();
  ::ERR_clear_error();
  const char* const words = code ? ::ERR_reason_error_string(code) : nullptr;
  return words ? words : "not PEM";
}

// Not asked for at a terminal in the middle of a server's life.
int no_passphrase(char*, int, int, void*) {
  return 0;
}

void warn_of_others(const fs::path& key) {
  struct stat st;
  if (::stat(key.c_str(), &st) == 0 && (st.st_mode & (S_IRGRP | S_IROTH)))
    spdlog::warn("TLS key {} can be read by others: chmod 600 {}", key.string(), key.string());
}

}  // namespace

TlsCertificate::TlsCertificate(fs::path certificate, fs::path key)
    : certificate_(std::move(certificate)), key_(std::move(key)), seen_(stamp()), context_(load()) {}

std::string TlsCertificate::stamp() const {
  std::string text;
  for (const fs::path& file : {certificate_, key_}) {
    struct stat st {};
    if (::stat(file.c_str(), &st) != 0) text += "none;";
    text += std::to_string(st.st_ino) + "," + std::to_string(st.st_size) + "," +
            std::to_string(st.st_mtim.tv_sec) + "," + std::to_string(st.st_mtim.tv_nsec) + ";";
  }
  return text;
}

std::shared_ptr<ssl::context> TlsCertificate::load() const {
  ::ERR_clear_error();
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  ::SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  ::SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  ::SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_default_passwd_cb(native, no_passphrase);
  read_file(certificate_, kFileLimit);  // says what is wrong with a file better than OpenSSL
  const std::string key_text = read_file(key_, kFileLimit);
  if (::SSL_CTX_use_certificate_chain_file(native, certificate_.c_str()) != 1)
    throw Error(ErrorKind::Invalid, certificate_.string() + " is not a certificate: " + reason(),
                "--tls-cert wants PEM: the server's certificate first, then those that lead to its root");
  if (key_text.find("ENCRYPTED") != std::string::npos)
    throw Error(ErrorKind::Invalid, key_.string() + " is locked with a passphrase",
                "a server cannot ask for it: `openssl pkey -in KEY -out OPEN-KEY` makes one without");
  if (::SSL_CTX_use_PrivateKey_file(native, key_.c_str(), SSL_FILETYPE_PEM) != 1) {
    const unsigned long code = ::ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_X509 && ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH) {
      ::ERR_clear_error();
      throw Error(ErrorKind::Invalid,
                  key_.string() + " is not the key of the certificate " + certificate_.string(),
                  "--tls-cert and --tls-key must be of one pair, and the server's own certificate the first "
                  "in its file");
    }
    throw Error(ErrorKind::Invalid, key_.string() + " is not a private key: " + reason(),
                "--tls-key wants the certificate's key in PEM");
  }
  warn_of_others(key_);
  return context;
}

void TlsCertificate::look_again() {
  std::lock_guard lock(mutex_);
  looked_ns_ = 0;
}

std::shared_ptr<ssl::context> TlsCertificate::current() {
  const auto now = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  std::lock_guard lock(mutex_);
  if (now - looked_ns_ < std::chrono::nanoseconds(kLookAgain).count()) return context_;
  looked_ns_ = now;
  std::string stamp_now = stamp();
  if (stamp_now == seen_) return context_;
  seen_ = std::move(stamp_now);
  try {
    context_ = load();
    spdlog::info("TLS: {} was read again", certificate_.string());
  } catch (const Error& error) {
    spdlog::error("TLS: the certificate of before stays: {}", error.full());
  }
  return context_;
}

}  // namespace kiln::detail
