#include "base/http_transfer.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "base/transfer_watch.h"

namespace kiln::detail {

size_t Transfer::take_header(std::string_view line) {
  if (line.starts_with("HTTP/")) {  // also after "100 Continue"
    response = {};
    const size_t blank = line.find(' ');
    if (blank != std::string_view::npos)
      response.status = std::atoi(std::string(line.substr(blank + 1, 3)).c_str());
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    response.headers.add(std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
  }
  return line.size();
}

size_t Transfer::take_body(std::string_view bytes) {
  try {
    if (sink && response.ok()) {
      sink(response, bytes);
    } else if (response.body.size() + bytes.size() > body_limit) {
      throw Error(ErrorKind::Invalid,
                  "the answer of " + request.url + " is larger than " + format_bytes(body_limit));
    } else {
      response.body += bytes;
    }
    return bytes.size();
  } catch (...) {
    failure = std::current_exception();
    return 0;
  }
}

size_t Transfer::give_body(char* buffer, size_t size) {
  try {
    size_t count = 0;
    const HttpBody& body = request.body;
    if (body.source) {
      count = body.source(buffer, size);
    } else if (body.fd >= 0) {
      const size_t wanted = std::min<uint64_t>(size, body.length - sent);
      ssize_t got;
      do got = ::pread(body.fd, buffer, wanted, static_cast<off_t>(body.offset + sent));
      while (got < 0 && errno == EINTR);
      if (got < 0) throw_errno("cannot read what is to be sent");
      count = static_cast<size_t>(got);
    } else {
      count = std::min(size, body.text.size() - sent);
      std::memcpy(buffer, body.text.data() + sent, count);
    }
    sent += count;
    if (request.on_upload) request.on_upload(sent);
    return count;
  } catch (...) {
    failure = std::current_exception();
    return CURL_READFUNC_ABORT;
  }
}

size_t Transfer::on_header(char* data, size_t size, size_t count, void* self) {
  return static_cast<Transfer*>(self)->take_header({data, size * count});
}
size_t Transfer::on_write(char* data, size_t size, size_t count, void* self) {
  return static_cast<Transfer*>(self)->take_body({data, size * count});
}
size_t Transfer::on_read(char* buffer, size_t size, size_t count, void* self) {
  return static_cast<Transfer*>(self)->give_body(buffer, size * count);
}
// A kept connection may turn out to be dead; libcurl then starts over on a fresh one.
int Transfer::on_seek(void* self, curl_off_t offset, int origin) {
  auto& transfer = *static_cast<Transfer*>(self);
  if (transfer.request.body.source || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  transfer.sent = static_cast<uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}
// libcurl's own would be open in programs that are started before it is told otherwise.
curl_socket_t Transfer::on_open_socket(void* self, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(self);
  char text[INET6_ADDRSTRLEN] = {};
  const auto* any = reinterpret_cast<const sockaddr*>(&address->addr);
  if (any->sa_family == AF_INET)
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(any)->sin_addr, text, sizeof text);
  else if (any->sa_family == AF_INET6)
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(any)->sin6_addr, text, sizeof text);
  if (transfer.refuse_private && is_private_address(text)) {
    transfer.refused_address = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// Until the transfer has ended, one way or the other; false after a stop request.
bool perform(CURLM* multi, CURL* easy, const HttpClient::Options& options, const std::stop_token& stop,
             CURLcode& result) {
  using Clock = std::chrono::steady_clock;
  TransferWatch watch(options.stall_timeout, options.lowest_rate, Clock::now());
  const auto longest_sleep = std::clamp<int64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(options.stall_timeout).count() / 4, 1, 1000);
  ::curl_multi_add_handle(multi, easy);
  const OnExit remove([&] { ::curl_multi_remove_handle(multi, easy); });
  const std::stop_callback on_stop(stop, [multi] { ::curl_multi_wakeup(multi); });
  while (!stop.stop_requested()) {
    int running = 0, left = 0;
    ::curl_multi_perform(multi, &running);
    while (const CURLMsg* message = ::curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      result = message->data.result;
      return true;
    }
    curl_off_t received = 0, sent = 0;
    ::curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
    ::curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    if (watch.is_too_slow(Clock::now(), static_cast<uint64_t>(received + sent))) {
      result = CURLE_OPERATION_TIMEDOUT;
      return true;
    }
    ::curl_multi_poll(multi, nullptr, 0, static_cast<int>(longest_sleep), nullptr);
  }
  return false;
}

}  // namespace kiln::detail
