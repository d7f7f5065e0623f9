#include "registry/client/transfer.h"

#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "registry/client/token.h"

namespace kiln::registry::detail {
namespace {

std::string blob_target(const Session& session, const Digest& digest) {
  return "/v2/" + session.repository() + "/blobs/" + digest.text();
}

// Whether a partial answer begins where it was asked to (RFC 9110, 14.4).
bool begins_at(const HttpResponse& answer, uint64_t from) {
  return answer.headers.get("Content-Range").starts_with("bytes " + std::to_string(from) + "-");
}

// What the registry sent is its fault, not that of whoever asked.
void commit_download(BlobSink& sink, const Session& session) {
  try {
    sink.commit();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Invalid) throw;
    throw Error(ErrorKind::Infrastructure,
                "registry " + session.host() + " sent other content: " + error.full(), "ask who runs it");
  }
}

// libcurl hands out 16 KiB at a time; files want more. What is whole is hashed while the next is received.
class Gathered {
 public:
  Gathered(BlobSink& sink, const Progress& progress) : sink_(sink), progress_(progress) {
    bytes_.reserve(kPiece);
  }
  uint64_t size() const { return sink_.size() + bytes_.size(); }
  void write(std::string_view bytes) {
    bytes_ += bytes;
    if (bytes_.size() + bytes.size() <= kPiece) return;
    bytes_ = sink_.write_piece(std::move(bytes_));
    if (progress_) progress_(sink_.size());
  }
  void flush() {
    if (bytes_.empty()) return;
    sink_.write(bytes_);
    bytes_.clear();
    if (progress_) progress_(sink_.size());
  }
  void restart() {
    bytes_.clear();
    sink_.restart();
  }

 private:
  static constexpr size_t kPiece = 256u << 10;
  BlobSink& sink_;
  const Progress& progress_;
  std::string bytes_;
};

// One request for what is still missing. Its answer, for the Retry-After.
HttpResponse download_rest(Session& session, const Descriptor& blob, BlobSink& sink, const Progress& progress,
                           const std::stop_token& stop) {
  const uint64_t from = sink.size();
  HttpRequest request;
  if (from > 0) request.headers.add("Range", "bytes=" + std::to_string(from) + "-");
  Gathered gathered(sink, progress);
  bool anew = false;
  const HttpSink receive = [&](const HttpResponse& answer, std::string_view bytes) {
    if (answer.status == 206 && !begins_at(answer, from)) {
      gathered.restart();
      throw Error(ErrorKind::Unavailable, "registry " + session.host() + " sent another part than asked for");
    }
    if (from > 0 && answer.status != 206 && !anew) {  // it does not do ranges
      anew = true;
      gathered.restart();
    }
    if (gathered.size() + bytes.size() > blob.size)
      throw Error(ErrorKind::Infrastructure, "registry " + session.host() + " sends more for blob " +
                                                 blob.digest.short_text() + " than its manifest says");
    gathered.write(bytes);
  };
  try {
    HttpResponse response =
        session.send_once(std::move(request), blob_target(session, blob.digest), "pull", receive, stop);
    gathered.flush();
    return response;
  } catch (const Error& error) {
    if (is_retryable(error)) gathered.flush();  // the next attempt goes on behind it
    throw;
  }
}

}  // namespace

Error unexpected(const Session& session, std::string_view doing, const HttpResponse& response) {
  const bool may_pass = response.status == 429 || response.status >= 500;
  return Error(may_pass ? ErrorKind::Unavailable : ErrorKind::Infrastructure,
               "registry " + session.host() + " answers " + std::to_string(response.status) + " to " +
                   std::string(doing) + ": " + explanation(response).substr(0, 300));
}

bool is_retryable(const Error& error) {
  return error.kind() == ErrorKind::Unavailable;
}

bool has_blob(Session& session, const Descriptor& blob, std::stop_token stop) {
  try {
    const HttpResponse head =
        session.send({.method = "HEAD"}, blob_target(session, blob.digest), "pull,push", {}, std::move(stop));
    return head.status == 200;
  } catch (const Denied&) {  // an answer to HEAD gives no reason; the one to the upload does
    return false;
  }
}

bool mount_blob(Session& session, const Descriptor& blob, const std::vector<std::string>& repositories,
                std::stop_token stop) {
  for (const std::string& repository : repositories) {
    if (repository == session.repository()) continue;
    RepositoryAccess access("pull,push");
    access.mount_from = repository;
    const std::string target = "/v2/" + session.repository() + "/blobs/uploads/?mount=" + blob.digest.text() +
                               "&from=" + percent_encode(repository, "/");
    try {
      const HttpResponse response = session.send({.method = "POST"}, target, access, {}, stop);
      if (response.status == 201) return true;
      // An upload was begun instead; nobody waits for it.
      if (const std::string_view location = response.headers.get("Location"); response.status == 202)
        session.send_once({.method = "DELETE"}, location, "pull,push", {}, stop);
    } catch (const Error& error) {  // to be mounted is no right: the blob is sent then
      if (error.kind() == ErrorKind::Cancelled) throw;
    }
  }
  return false;
}

void download_blob(Session& session, const Descriptor& blob, BlobSink& sink, const Progress& progress,
                   std::stop_token stop) {
  uint64_t earned = 0;
  for (int attempt = 1;; ++attempt) {
    std::string retry_after;
    try {
      if (sink.size() < blob.size || blob.size == 0) {
        const HttpResponse response = download_rest(session, blob, sink, progress, stop);
        retry_after = response.headers.get("Retry-After");
        if (response.status == 404)
          throw Error(ErrorKind::NotFound,
                      "registry " + session.host() + " has no blob " + blob.digest.text() + " in " +
                          session.repository(),
                      "the image is incomplete there; push it again");
        if (response.status != 200 && response.status != 206)
          throw unexpected(session, "a download", response);
      }
      if (sink.size() < blob.size)
        throw Error(ErrorKind::Unavailable, "the download broke off after " + format_bytes(sink.size()));
      return commit_download(sink, session);
    } catch (const Error& error) {
      if (sink.size() >= earned + kStretch) {
        earned = sink.size();
        attempt = 1;
      }
      if (!is_retryable(error) || !session.pause(attempt, retry_after, stop))
        throw error.because("cannot pull blob " + blob.digest.short_text() + " from registry " +
                            session.host());
    }
  }
}

void for_each_parallel(std::span<const Descriptor> items, int threads, std::stop_token stop,
                       const std::function<void(const Descriptor&, std::stop_token)>& work) {
  std::stop_source halt;
  const std::stop_callback forward(stop, [&] { halt.request_stop(); });
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    for (size_t i = next++; i < items.size() && !halt.stop_requested(); i = next++) {
      try {
        work(items[i], halt.get_token());
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        halt.request_stop();
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (size_t i = 1; i < std::min<size_t>(items.size(), static_cast<size_t>(std::max(1, threads))); ++i)
      helpers.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
  if (stop.stop_requested()) throw Error(ErrorKind::Cancelled, "the transfer was cancelled");
}

}  // namespace kiln::registry::detail
