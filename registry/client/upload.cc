// One blob's way into a registry: distribution-spec, "Pushing a blob in chunks" for what was interrupted.
#include <charconv>

#include "base/error.h"
#include "base/text.h"
#include "registry/client/token.h"
#include "registry/client/transfer.h"

namespace kiln::registry::detail {
namespace {

std::string with_digest(std::string location, const Digest& digest) {
  location += location.find('?') == std::string::npos ? '?' : '&';
  return location + "digest=" + percent_encode(digest.text());
}

// "0-99" → 100: what an upload has.
uint64_t received(std::string_view range) {
  uint64_t last = 0;
  if (range.starts_with("bytes=")) range.remove_prefix(6);
  if (!range.starts_with("0-")) return 0;
  const auto [end, error] = std::from_chars(range.data() + 2, range.data() + range.size(), last);
  return error == std::errc() && end == range.data() + range.size() && last > 0 && last < UINT64_MAX
             ? last + 1
             : 0;
}

class Upload {
 public:
  Upload(Session& session, const Descriptor& blob, const FilePart& part, const Progress& progress,
         std::stop_token stop)
      : session_(session), blob_(blob), part_(part), progress_(progress), stop_(std::move(stop)) {}

  // POST → PUT with the whole body; a registry that takes bodies only by PATCH gets one; what broke off goes
  // on behind what has arrived. The answer, and the Retry-After with it.
  HttpResponse attempt(const std::function<void()>& verify) {
    if (!location_.empty() && (have_ = ask_received()) > 0) return go_on();
    abandon();
    begin();
    HttpResponse response = send("PUT", with_digest(location_, blob_.digest), 0);
    if (response.status == 400) verify();  // the fault may be ours
    if (response.status != 404 && response.status != 405 && response.status != 400 && response.status != 411)
      return response;
    abandon();
    begin();
    return rest();
  }
  // How far an attempt has come that was interrupted.
  uint64_t have() const { return have_; }

  // The registry keeps nothing of it. Nobody waits for a registry that does not answer, or cannot do that.
  void abandon() noexcept {
    if (location_.empty()) return;
    try {
      session_.send_once({.method = "DELETE"}, location_, "pull,push", {}, {});
    } catch (const std::exception&) {
    }
    location_.clear();
    have_ = 0;
  }

 private:
  void begin() {
    have_ = 0;
    const HttpResponse response = session_.send(
        {.method = "POST"}, "/v2/" + session_.repository() + "/blobs/uploads/", "pull,push", {}, stop_);
    location_ = response.headers.get("Location");
    if (response.status != 202 || location_.empty())
      throw unexpected(session_, "the start of an upload", response);
  }

  HttpResponse send(const char* method, const std::string& target, uint64_t from) {
    HttpRequest request{.method = method,
                        .body = HttpBody::of_file(part_.fd.get(), part_.offset + from, part_.size - from)};
    request.headers.add("Content-Type", "application/octet-stream");
    if (from > 0)
      request.headers.add("Content-Range", std::to_string(from) + "-" + std::to_string(part_.size - 1));
    request.on_upload = [this, from](uint64_t done) {
      if (progress_) progress_(from + done);
    };
    return session_.send_once(request, target, "pull,push", {}, stop_);
  }

  HttpResponse go_on() {
    HttpResponse response = rest();
    if (response.status != 400 && response.status != 404 && response.status != 416) return response;
    abandon();  // it has something else than it said
    throw Error(ErrorKind::Unavailable, "registry " + session_.host() + " lost a part of an upload");
  }

  // By PATCH, from what it has; then the end.
  HttpResponse rest() {
    if (have_ < part_.size) {
      HttpResponse response = send("PATCH", location_, have_);
      if (have_ > 0 && (response.status == 404 || response.status == 416)) return response;
      if (response.status != 202 && response.status != 204) throw unexpected(session_, "an upload", response);
      move_on(response);
    }
    return session_.send_once({.method = "PUT"}, with_digest(location_, blob_.digest), "pull,push", {},
                              stop_);
  }

  void move_on(const HttpResponse& response) {
    if (const std::string_view next = response.headers.get("Location"); !next.empty()) location_ = next;
  }

  // 0 when the registry knows nothing of the upload, or does not say.
  uint64_t ask_received() {
    const HttpResponse response = session_.send({}, location_, "pull,push", {}, stop_);
    if (response.status != 204 && response.status != 202 && response.status != 200) return 0;
    move_on(response);
    const uint64_t have = received(response.headers.get("Range"));
    return have <= part_.size ? have : 0;
  }

  Session& session_;
  const Descriptor& blob_;
  const FilePart& part_;
  const Progress& progress_;
  const std::stop_token stop_;
  std::string location_;
  uint64_t have_ = 0;
};

}  // namespace

void upload_blob(Session& session, const Descriptor& blob, const FilePart& part,
                 const std::function<void()>& verify, const Progress& progress, std::stop_token stop) {
  Upload upload(session, blob, part, progress, stop);
  uint64_t earned = 0;
  for (int attempt = 1;; ++attempt) {
    std::string retry_after;
    try {
      const HttpResponse response = upload.attempt(verify);
      if (response.status == 201 || response.status == 204) return;
      retry_after = response.headers.get("Retry-After");
      throw unexpected(session, "an upload", response);
    } catch (const Error& error) {
      if (upload.have() >= earned + kStretch) {
        earned = upload.have();
        attempt = 1;
      }
      bool again = false;
      try {
        again = is_retryable(error) && session.pause(attempt, retry_after, stop);
      } catch (const Error& why) {
        if (why.kind() != ErrorKind::Cancelled) upload.abandon();
        throw;
      }
      if (again) continue;
      if (error.kind() != ErrorKind::Cancelled) upload.abandon();
      throw error.because("cannot push blob " + blob.digest.short_text() + " to registry " + session.host());
    }
  }
}

}  // namespace kiln::registry::detail
