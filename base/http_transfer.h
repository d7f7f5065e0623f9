#pragma once

#include <cstdint>
#include <curl/curl.h>
#include <exception>
#include <stop_token>
#include <string_view>

#include "base/http_client.h"

// Inside of base/http_client.cc: one transfer of libcurl.
namespace kiln::detail {

// What its callbacks see. No exception passes through libcurl: it is kept and thrown after.
struct Transfer {
  const HttpRequest& request;
  const HttpSink& sink;
  uint64_t body_limit;
  HttpResponse response{};
  uint64_t sent = 0;
  std::exception_ptr failure{};
  bool refuse_private = false;  // addresses that are not public
  bool refused_address = false;

  static size_t on_header(char* data, size_t size, size_t count, void* self);
  static size_t on_write(char* data, size_t size, size_t count, void* self);
  static size_t on_read(char* buffer, size_t size, size_t count, void* self);
  static int on_seek(void* self, curl_off_t offset, int origin);
  static curl_socket_t on_open_socket(void* self, curlsocktype, curl_sockaddr* address);

 private:
  size_t take_header(std::string_view line);
  size_t take_body(std::string_view bytes);
  size_t give_body(char* buffer, size_t size);
};

// Until the transfer has ended, one way or the other; false after a stop request.
bool perform(CURLM* multi, CURL* easy, const HttpClient::Options& options, const std::stop_token& stop,
             CURLcode& result);

}  // namespace kiln::detail
