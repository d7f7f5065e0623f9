#include "steps/probe_transfer.h"

#include <exception>
#include <system_error>

#include "base/error.h"
#include "base/text.h"

namespace kiln::steps {
namespace {

constexpr size_t kMostBody = 10 << 10, kMostHeaders = 64;  // beyond, nobody looks

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

class Transfer {
 public:
  Transfer(const ProbeRequest& request, const std::stop_token& stop) : request_(request), stop_(stop) {
    static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
    easy_.reset(curl_easy_init());
    multi_.reset(curl_multi_init());
    if (initialized != CURLE_OK || !easy_ || !multi_)
      throw Error(ErrorKind::Infrastructure, "cannot start a probe: out of memory?");
    set_target();
    set_content();
  }
  ~Transfer() { curl_multi_remove_handle(multi_.get(), easy_.get()); }

  ProbeAnswer run() {
    curl_multi_add_handle(multi_.get(), easy_.get());
    const std::stop_callback wake(stop_, [this] { curl_multi_wakeup(multi_.get()); });
    answer_.code = perform();
    if (problem_) std::rethrow_exception(problem_);
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &answer_.status);
    if (const char* url = nullptr;
        curl_easy_getinfo(easy_.get(), CURLINFO_REDIRECT_URL, &url) == CURLE_OK && url)
      answer_.redirect = url;
    if (answer_.code != CURLE_OK) answer_.problem = words();
    return std::move(answer_);
  }

 private:
  void set_target() {
    CURL* easy = easy_.get();
    curl_easy_setopt(easy, CURLOPT_URL, request_.url.c_str());
    if (!request_.target.empty()) curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, request_.target.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);  // does not wait for a name server that is silent
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, request_.connect_only ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     std::max<long>(1, static_cast<long>(request_.timeout.count())));
    if (request_.http2)
      curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
    if (!request_.socket) return;
    curl_easy_setopt(easy, CURLOPT_IPRESOLVE, static_cast<long>(CURL_IPRESOLVE_V4));
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &Transfer::open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
  }

  void set_content() {
    CURL* easy = easy_.get();
    const auto add = [&](const std::string& line) {
      headers_.reset(curl_slist_append(headers_.release(), line.c_str()));
    };
    for (const auto& [name, value] : request_.headers) add(name + (value.empty() ? ";" : ": " + value));
    add("Expect:");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
    if (!request_.body.empty()) {
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request_.body.size()));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request_.body.data());
    }
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  }

  CURLcode perform() {
    for (int running = 1;;) {
      curl_multi_perform(multi_.get(), &running);
      if (running == 0) break;
      if (stop_.stop_requested()) return CURLE_ABORTED_BY_CALLBACK;
      curl_multi_poll(multi_.get(), nullptr, 0, 1000, nullptr);
    }
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(multi_.get(), &left);
    return message ? message->data.result : CURLE_FAILED_INIT;
  }

  std::string words() const {
    long error = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &error);
    if (answer_.code == CURLE_OPERATION_TIMEDOUT)
      return "no answer within " + format_seconds(std::chrono::duration<double>(request_.timeout).count());
    if (answer_.code == CURLE_COULDNT_CONNECT && error != 0)
      return std::generic_category().message(static_cast<int>(error));
    return curl_easy_strerror(answer_.code);
  }

  // No exception may pass through libcurl.
  static curl_socket_t open_socket(void* self, curlsocktype, curl_sockaddr*) {
    auto& transfer = *static_cast<Transfer*>(self);
    try {
      return transfer.request_.socket().release();
    } catch (...) {
      transfer.problem_ = std::current_exception();
      return CURL_SOCKET_BAD;
    }
  }
  static size_t take_body(const char* bytes, size_t, size_t count, void* self) {
    std::string& body = static_cast<Transfer*>(self)->answer_.body;
    if (body.size() + count > kMostBody) return 0;
    body.append(bytes, count);
    return count;
  }
  static size_t take_header(const char* bytes, size_t, size_t count, void* self) {
    std::vector<std::string>& lines = static_cast<Transfer*>(self)->answer_.header_lines;
    if (lines.size() < kMostHeaders) lines.emplace_back(trim(std::string_view(bytes, count)));
    return count;
  }

  const ProbeRequest& request_;
  const std::stop_token& stop_;
  std::unique_ptr<curl_slist, ListDeleter> headers_;
  std::unique_ptr<CURLM, MultiDeleter> multi_;
  std::unique_ptr<CURL, EasyDeleter> easy_;
  std::exception_ptr problem_;
  ProbeAnswer answer_;
};

}  // namespace

ProbeAnswer send(const ProbeRequest& request, const std::stop_token& stop) {
  return Transfer(request, stop).run();
}

}  // namespace kiln::steps
