#pragma once

#include <string>

namespace kiln {

// How the other end of a TLS connection is told, and how we say who we are.
struct TlsOptions {
  std::string ca_file;                         // PEM file instead of SSL_CERT_FILE's
  std::string authorities;                     // PEM text: trusted besides the system's certificates
  std::string client_certificate, client_key;  // PEM files; empty: none
  bool verify_peer = true;
};

namespace detail {
void set_tls(void* easy, const TlsOptions& tls);  // `easy`: CURL*
}

}  // namespace kiln
