#include "base/http_tls.h"

#include <cstdlib>
#include <curl/curl.h>

#include "base/fs.h"

namespace kiln::detail {

void set_tls(void* easy, const TlsOptions& tls) {
  const auto set = [easy](CURLoption option, auto value) { ::curl_easy_setopt(easy, option, value); };
  // libcurl itself does not look at the variable that OpenSSL programs honour.
  const char* variable = std::getenv("SSL_CERT_FILE");
  const std::string file = !tls.ca_file.empty() ? tls.ca_file : variable ? variable : "";
  if (!tls.authorities.empty()) {
    // A blob takes the file's place; the system's folder of certificates counts beside it all the same.
    std::string all = tls.authorities;
    if (!file.empty()) all += "\n" + read_file(file, 16u << 20);
    curl_blob blob{all.data(), all.size(), CURL_BLOB_COPY};
    set(CURLOPT_CAINFO_BLOB, &blob);
  } else if (!file.empty()) {
    set(CURLOPT_CAINFO, file.c_str());
  }
  if (!tls.client_certificate.empty()) set(CURLOPT_SSLCERT, tls.client_certificate.c_str());
  if (!tls.client_key.empty()) set(CURLOPT_SSLKEY, tls.client_key.c_str());
  if (!tls.verify_peer) set(CURLOPT_SSL_VERIFYPEER, 0L), set(CURLOPT_SSL_VERIFYHOST, 0L);
}

}  // namespace kiln::detail
