#include "base/http_client.h"

#include <cstdlib>
#include <curl/curl.h>
#include <list>
#include <mutex>

#include "base/error.h"
#include "base/http_transfer.h"
#include "base/text.h"

namespace kiln {
namespace {

constexpr size_t kKeptConnections = 64;

void start_libcurl() {
  static const CURLcode started = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw Error(ErrorKind::Infrastructure, "libcurl cannot be started");
}

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? value : nullptr;
}

bool has_proxy_settings() {
  for (const char* name :
       {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
    if (variable(name)) return true;
  return false;
}

// libcurl leaves HTTP_PROXY alone, because in a CGI program it is what a stranger wrote. Everybody else takes
// it.
const char* other_http_proxy(const Url& url) {
  const bool counts = url.scheme == "http" && !variable("http_proxy") && !variable("REQUEST_METHOD");
  return counts ? variable("HTTP_PROXY") : nullptr;
}

// TLS alerts about who we are (RFC 8446, 6.2), in OpenSSL's words. A handshake failure is how TLS 1.2 asks
// for a certificate; it may mean more, but little of that is left.
bool is_about_our_certificate(std::string_view cause) {
  for (const char* alert :
       {"alert certificate required", "alert bad certificate", "alert unknown ca",
        "alert certificate unknown", "alert certificate expired", "alert unsupported certificate",
        "alert access denied", "alert handshake failure"})
    if (cause.find(alert) != std::string_view::npos) return true;
  return false;
}

std::string hint_for(CURLcode code, const Url& url) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
      return "check that something listens on " + url.authority();
    case CURLE_COULDNT_RESOLVE_HOST:
      return "check the name " + url.host + " and the network";
    case CURLE_COULDNT_RESOLVE_PROXY:
      return "check the proxy's name and the network";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return "its certificate is not trusted here; name the CA's file in SSL_CERT_FILE";
    case CURLE_SSL_CONNECT_ERROR:
      return "it may speak plain http rather than https";
    default:
      return "check the network, then try again";
  }
}

// libcurl may repeat a proxy's address as it was set, password and all.
std::string without_user_info(std::string cause) {
  const size_t scheme = cause.find("://"), at = cause.rfind('@');
  if (scheme != std::string::npos && at != std::string::npos && at > scheme)
    cause.erase(scheme + 3, at - scheme - 2);
  return cause;
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

template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
  ::curl_easy_setopt(easy, option, value);
}

long milliseconds(Duration duration) {
  return static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
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

std::optional<bool> HttpClient::speaks_tls(const Url& url) const {
  const std::unique_ptr<CURL, void (*)(CURL*)> easy(::curl_easy_init(), ::curl_easy_cleanup);
  if (!easy) throw std::bad_alloc();
  const std::string text = url.text();
  set(easy.get(), CURLOPT_URL, text.c_str());
  set(easy.get(), CURLOPT_CONNECT_ONLY, 1L);
  set(easy.get(), CURLOPT_NOSIGNAL, 1L);
  set(easy.get(), CURLOPT_CONNECTTIMEOUT_MS, milliseconds(options_.connect_timeout));
  if (is_loopback_host(url.host)) set(easy.get(), CURLOPT_PROXY, "");
  TlsOptions tls = options_.tls_for ? options_.tls_for(url) : options_.tls;
  tls.verify_peer = false;
  detail::set_tls(easy.get(), tls);
  char why[CURL_ERROR_SIZE] = {};
  set(easy.get(), CURLOPT_ERRORBUFFER, why);
  const CURLcode code = ::curl_easy_perform(easy.get());
  if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST) return std::nullopt;
  // Who refuses us by an alert does speak it.
  return code == CURLE_OK || std::string_view(why).find(" alert ") != std::string_view::npos;
}

HttpResponse HttpClient::send(const HttpRequest& request, const HttpSink& sink, std::stop_token stop) const {
  const auto url = Url::parse(request.url);
  if (!url)
    throw Error(ErrorKind::Invalid, "\"" + request.url.substr(0, 200) + "\" is not a URL that can be asked",
                "write http://… or https://…, without a user name in it");
  if (request.public_only && is_private_address(url->host))
    throw HttpUntrusted(ErrorKind::Infrastructure,
                        "refusing to ask " + url->authority() + ": it is no public address");
  std::unique_ptr<Pool::Handle> handle = pool_->take(url->scheme + "://" + url->authority());
  CURL* easy = handle->easy;
  ::curl_easy_reset(easy);
  char why[CURL_ERROR_SIZE] = {};
  detail::Transfer transfer{request, sink, options_.body_limit};
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
  set(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
  if (const char* proxy = other_http_proxy(*url)) set(easy, CURLOPT_PROXY, proxy);
  set(easy, CURLOPT_OPENSOCKETFUNCTION, &detail::Transfer::on_open_socket);
  set(easy, CURLOPT_OPENSOCKETDATA, &transfer);
  if (is_loopback_host(url->host)) {
    set(easy, CURLOPT_PROXY, "");
  } else if (request.public_only && !has_proxy_settings()) {
    transfer.refuse_private = true;
    set(easy, CURLOPT_FRESH_CONNECT, 1L);
  }
  detail::set_tls(easy, options_.tls_for ? options_.tls_for(*url) : options_.tls);

  set(easy, CURLOPT_HEADERFUNCTION, &detail::Transfer::on_header);
  set(easy, CURLOPT_HEADERDATA, &transfer);
  set(easy, CURLOPT_WRITEFUNCTION, &detail::Transfer::on_write);
  set(easy, CURLOPT_WRITEDATA, &transfer);
  if (request.method == "HEAD") {
    set(easy, CURLOPT_NOBODY, 1L);
  } else if (sends_body(request)) {
    set(easy, CURLOPT_UPLOAD, 1L);
    set(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    set(easy, CURLOPT_READFUNCTION, &detail::Transfer::on_read);
    set(easy, CURLOPT_READDATA, &transfer);
    set(easy, CURLOPT_SEEKFUNCTION, &detail::Transfer::on_seek);
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
  const bool done = detail::perform(handle->multi, easy, options_, stop, result);
  if (transfer.failure) std::rethrow_exception(transfer.failure);
  if (!done) throw Error(ErrorKind::Cancelled, "the request to " + url->authority() + " was cancelled");
  if (transfer.refused_address)
    throw HttpUntrusted(ErrorKind::Infrastructure,
                        "refusing to ask " + url->authority() + ": its address is not public");
  if (result != CURLE_OK) {
    const std::string cause = *why                                 ? without_user_info(why)
                              : result == CURLE_OPERATION_TIMEDOUT ? "it sends too slowly, or nothing at all"
                                                                   : ::curl_easy_strerror(result);
    if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE)
      throw HttpUntrusted(ErrorKind::Infrastructure, url->authority() + ": " + cause, hint_for(result, *url));
    if (is_about_our_certificate(cause))
      throw HttpNotAdmitted(ErrorKind::Infrastructure, url->authority() + ": " + cause,
                            "it wants a certificate of who asks, or another one");
    const bool proxied = !is_loopback_host(url->host) && has_proxy_settings();
    const char* proxy_hint =
        proxied ? "check the proxy settings (http_proxy, https_proxy, no_proxy), or " : "";
    throw Error(ErrorKind::Unavailable, url->authority() + " did not answer: " + cause,
                proxy_hint + hint_for(result, *url));
  }
  pool_->give_back(std::move(handle));
  return std::move(transfer.response);
}

}  // namespace kiln
