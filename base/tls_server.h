#pragma once

#include <boost/asio/ssl/context.hpp>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <sys/stat.h>

// Inside of base/http_server.cc: the certificate of a TLS server.
namespace kiln::detail {

// Certificate and key from their files. Thread-safe.
class TlsCertificate {
 public:
  // Throws Invalid or NotFound, naming the file and what to do, when they cannot be used.
  TlsCertificate(std::filesystem::path certificate, std::filesystem::path key);

  // For the next connection: read anew when the files have changed (looked at once a second at most); files
  // that cannot be used are logged once, and the last good ones stay.
  std::shared_ptr<boost::asio::ssl::context> current();
  // The next current() looks at the files, however soon it comes.
  void look_again();

 private:
  std::string stamp() const;  // of both files
  std::shared_ptr<boost::asio::ssl::context> load() const;

  const std::filesystem::path certificate_, key_;
  std::mutex mutex_;
  std::string seen_;
  int64_t looked_ns_ = 0;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

}  // namespace kiln::detail
