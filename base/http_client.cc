#include "base/http_client.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <curl/curl.h>
#include <list>
#include <mutex>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

namespace kiln {
namespace {

constexpr size_t kKeptConnections = 64;

void start_libcurl() {
  static const CURLcode started = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw Error(ErrorKind::Infrastructure, "libcurl cannot be started");
}

bool has_proxy_settings() {
  for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
    if (const char* value = std::getenv(name); value && *value) return true;
  return false;
}

std::string hint_for(CURLcode code, const Url& url) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
      return "check that something listens on " + url.authority();
    case CURLE_COULDNT_RESOLVE_HOST:
      return "check the name " + url.host + " and the network";
    case CURLE_COULDNT_RESOLVE_PROXY:
      return "check the proxy settings (http_proxy, https_proxy, no_proxy)";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return "its certificate is not trusted here; name the CA's file in SSL_CERT_FILE";
    case CURLE_SSL_CONNECT_ERROR:
      return "it may speak plain http rather than https";
    default:
      return "check the network, then try again";
  }
}

}  // namespace

HttpBody HttpBody::of_text(std::string text) {
  HttpBody body;
  body.length = text.size();
  body.text = std::move(text);
  return body;
}

HttpBody HttpBody::of_file(int fd, uint64_t offset, uint64_t length) {
  HttpBody body;
  body.fd = fd;
  body.offset = offset;
  body.length = length;
  return body;
}

// One libcurl transfer at a time, and the connections it keeps.
struct HttpClient::Pool {
  struct Handle {
    Handle() : easy(::curl_easy_init()), multi(::curl_multi_init()) {
      if (!easy || !multi) throw std::bad_alloc();
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() {
      ::curl_easy_cleanup(easy);
      ::curl_multi_cleanup(multi);
    }
    CURL* easy;
    CURLM* multi;
    std::string origin;
  };

  std::unique_ptr<Handle> take(const std::string& origin) {
    std::lock_guard lock(mutex);
    for (auto it = idle.begin(); it != idle.end(); ++it) {
      if ((*it)->origin != origin) continue;
      auto handle = std::move(*it);
      idle.erase(it);
      return handle;
    }
    auto handle = std::make_unique<Handle>();
    handle->origin = origin;
    return handle;
  }
  void give_back(std::unique_ptr<Handle> handle) {
    std::lock_guard lock(mutex);
    idle.push_front(std::move(handle));
    if (idle.size() > kKeptConnections) idle.pop_back();
  }

  std::mutex mutex;
  std::list<std::unique_ptr<Handle>> idle;  // used last first
};

namespace {

// What the callbacks of one transfer see. No exception passes through libcurl: it is kept and thrown after.
struct Transfer {
  const HttpRequest& request;
  const HttpSink& sink;
  uint64_t body_limit;
  HttpResponse response{};
  uint64_t sent = 0;
  std::exception_ptr failure{};
  bool refused_address = false;

  size_t take_header(std::string_view line) {
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

  size_t take_body(std::string_view bytes) {
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

  size_t give_body(char* buffer, size_t size) {
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

  static size_t on_header(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->take_header({data, size * count});
  }
  static size_t on_write(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->take_body({data, size * count});
  }
  static size_t on_read(char* buffer, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->give_body(buffer, size * count);
  }
  // A kept connection may turn out to be dead; libcurl then starts over on a fresh one.
  static int on_seek(void* self, curl_off_t offset, int origin) {
    auto& transfer = *static_cast<Transfer*>(self);
    if (transfer.request.body.source || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
    transfer.sent = static_cast<uint64_t>(offset);
    return CURL_SEEKFUNC_OK;
  }
  static curl_socket_t on_open_socket(void* self, curlsocktype, curl_sockaddr* address) {
    char text[INET6_ADDRSTRLEN] = {};
    const auto* any = reinterpret_cast<const sockaddr*>(&address->addr);
    if (any->sa_family == AF_INET)
      ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(any)->sin_addr, text, sizeof text);
    else if (any->sa_family == AF_INET6)
      ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(any)->sin6_addr, text, sizeof text);
    if (is_private_address(text)) {
      static_cast<Transfer*>(self)->refused_address = true;
      return CURL_SOCKET_BAD;
    }
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }
};

template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
  ::curl_easy_setopt(easy, option, value);
}

bool sends_body(const HttpRequest& request) {
  return request.body.length > 0 || request.body.source || request.method == "POST" ||
         request.method == "PUT" || request.method == "PATCH";
}

}  // namespace

HttpClient::HttpClient() : HttpClient(Options{}) {}

HttpClient::HttpClient(Options options) : options_(std::move(options)), pool_(std::make_unique<Pool>()) {
  start_libcurl();
}

HttpClient::~HttpClient() = default;

HttpResponse HttpClient::get(std::string_view url, std::stop_token stop) const {
  return send({.url = std::string(url)}, {}, std::move(stop));
}

HttpResponse HttpClient::send(const HttpRequest& request, const HttpSink& sink, std::stop_token stop) const {
  const auto url = Url::parse(request.url);
  if (!url)
    throw Error(ErrorKind::Invalid, "\"" + request.url.substr(0, 200) + "\" is not a URL that can be asked",
                "write http://… or https://…, without a user name in it");
  if (request.public_only && is_private_address(url->host))
    throw Error(ErrorKind::Unavailable, "refusing to ask " + url->authority() + ": it is no public address");
  const auto milliseconds = [](Duration d) {
    return static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
  };

  std::unique_ptr<Pool::Handle> handle = pool_->take(url->scheme + "://" + url->authority());
  CURL* easy = handle->easy;
  ::curl_easy_reset(easy);
  char why[CURL_ERROR_SIZE] = {};
  Transfer transfer{request, sink, options_.body_limit};
  set(easy, CURLOPT_ERRORBUFFER, why);
  const std::string text = url->text();
  set(easy, CURLOPT_URL, text.c_str());
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_PATH_AS_IS, 1L);
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_QUICK_EXIT, 1L);  // a cancelled request does not wait for a name server that is silent
  set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(easy, CURLOPT_TCP_NODELAY, 1L);
  set(easy, CURLOPT_BUFFERSIZE, 512L << 10);
  set(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
  set(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(options_.connect_timeout));
  set(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(easy, CURLOPT_LOW_SPEED_TIME, std::max(1L, milliseconds(options_.stall_timeout) / 1000));
  set(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
  if (is_loopback_host(url->host))
    set(easy, CURLOPT_PROXY, "");
  else if (request.public_only && !has_proxy_settings())
    set(easy, CURLOPT_OPENSOCKETFUNCTION, &Transfer::on_open_socket),
        set(easy, CURLOPT_OPENSOCKETDATA, &transfer), set(easy, CURLOPT_FRESH_CONNECT, 1L);
  // libcurl itself does not look at the variable that OpenSSL programs honour.
  const char* ca_variable = std::getenv("SSL_CERT_FILE");
  if (!options_.ca_file.empty())
    set(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
  else if (ca_variable && *ca_variable)
    set(easy, CURLOPT_CAINFO, ca_variable);
  if (!options_.client_certificate.empty()) set(easy, CURLOPT_SSLCERT, options_.client_certificate.c_str());
  if (!options_.client_key.empty()) set(easy, CURLOPT_SSLKEY, options_.client_key.c_str());
  if (!options_.verify_peer) set(easy, CURLOPT_SSL_VERIFYPEER, 0L), set(easy, CURLOPT_SSL_VERIFYHOST, 0L);

  set(easy, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(easy, CURLOPT_HEADERDATA, &transfer);
  set(easy, CURLOPT_WRITEFUNCTION, &Transfer::on_write);
  set(easy, CURLOPT_WRITEDATA, &transfer);
  if (request.method == "HEAD") {
    set(easy, CURLOPT_NOBODY, 1L);
  } else if (sends_body(request)) {
    set(easy, CURLOPT_UPLOAD, 1L);
    set(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    set(easy, CURLOPT_READFUNCTION, &Transfer::on_read);
    set(easy, CURLOPT_READDATA, &transfer);
    set(easy, CURLOPT_SEEKFUNCTION, &Transfer::on_seek);
    set(easy, CURLOPT_SEEKDATA, &transfer);
    if (!request.body.source || request.body.length > 0)
      set(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.length));
  } else {
    set(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  curl_slist* lines = ::curl_slist_append(nullptr, "Expect:");  // a round trip that only costs
  const struct FreeLines {
    curl_slist*& list;
    ~FreeLines() { ::curl_slist_free_all(list); }
  } free_lines{lines};
  for (const auto& [name, value] : request.headers) {
    if (value.find_first_of("\r\n") != std::string::npos) continue;
    lines = ::curl_slist_append(lines, (value.empty() ? name + ";" : name + ": " + value).c_str());
  }
  set(easy, CURLOPT_HTTPHEADER, lines);

  CURLcode result = CURLE_OK;
  bool done = false;
  {
    ::curl_multi_add_handle(handle->multi, easy);
    std::stop_callback on_stop(stop, [multi = handle->multi] { ::curl_multi_wakeup(multi); });
    while (!done && !stop.stop_requested()) {
      int running = 0;
      ::curl_multi_perform(handle->multi, &running);
      int left = 0;
      while (const CURLMsg* message = ::curl_multi_info_read(handle->multi, &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        result = message->data.result;
        done = true;
      }
      if (!done) ::curl_multi_poll(handle->multi, nullptr, 0, 1000, nullptr);
    }
    ::curl_multi_remove_handle(handle->multi, easy);
  }
  if (transfer.failure) std::rethrow_exception(transfer.failure);
  if (!done) throw Error(ErrorKind::Cancelled, "the request to " + url->authority() + " was cancelled");
  if (transfer.refused_address)
    throw Error(ErrorKind::Unavailable,
                "refusing to ask " + url->authority() + ": its address is not public");
  if (result != CURLE_OK) {
    const std::string cause = *why ? why : ::curl_easy_strerror(result);
    throw Error(ErrorKind::Unavailable, url->authority() + " did not answer: " + cause,
                hint_for(result, *url));
  }
  pool_->give_back(std::move(handle));
  return std::move(transfer.response);
}

}  // namespace kiln
