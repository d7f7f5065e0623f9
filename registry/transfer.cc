#include "registry/transfer.h"

#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "registry/store.h"

namespace kiln::registry::detail {
namespace {

std::string blob_target(const Session& session, const Digest& digest) {
  return "/v2/" + session.repository() + "/blobs/" + digest.text();
}

Error unexpected(const Session& session, std::string_view doing, const HttpResponse& response) {
  return Error(ErrorKind::Unavailable,
               "registry " + session.host() + " answers " + std::to_string(response.status) + " to " +
                   std::string(doing) + (response.body.empty() ? "" : ": " + response.body.substr(0, 300)));
}

bool is_retryable(const Error& error) {
  return error.kind() == ErrorKind::Unavailable;
}

// Opens an upload session; nullopt when the blob was mounted instead.
std::optional<std::string> begin_upload(Session& session, const Descriptor& blob,
                                        const std::string& mount_from, const std::stop_token& stop) {
  std::string target = "/v2/" + session.repository() + "/blobs/uploads/";
  if (!mount_from.empty())
    target += "?mount=" + blob.digest.text() + "&from=" + percent_encode(mount_from, "/");
  const HttpResponse response = session.send({.method = "POST"}, target, "pull,push", {}, stop);
  if (response.status == 201) return std::nullopt;
  const std::string_view location = response.headers.get("Location");
  if (response.status != 202 || location.empty())
    throw unexpected(session, "the start of an upload", response);
  return std::string(location);
}

std::string with_digest(std::string location, const Digest& digest) {
  location += location.find('?') == std::string::npos ? '?' : '&';
  return location + "digest=" + percent_encode(digest.text());
}

HttpRequest body_request(const char* method, const Store& store, const Descriptor& blob, const UniqueFd& fd,
                         Observed& observed) {
  HttpRequest request{.method = method,
                      .body = HttpBody::of_file(fd.get(), 0, store.size(blob.digest).value_or(0))};
  request.headers.add("Content-Type", "application/octet-stream");
  request.on_upload = [&](uint64_t sent) { observed.tell(TransferEvent::Kind::Progress, blob, sent); };
  return request;
}

// POST → PUT with the whole body; a registry that takes bodies only by PATCH gets one.
void upload_once(Session& session, const Store& store, const Descriptor& blob, std::string location,
                 Observed& observed, const std::stop_token& stop) {
  const UniqueFd fd = store.open(blob.digest);
  HttpResponse response = session.send_once(body_request("PUT", store, blob, fd, observed),
                                            with_digest(location, blob.digest), "pull,push", {}, stop);
  if (response.status == 400) store.verify(blob.digest);  // the fault may be ours
  if (response.status == 404 || response.status == 405 || response.status == 400 || response.status == 411) {
    const auto fresh = begin_upload(session, blob, {}, stop);
    if (!fresh) return;
    response =
        session.send_once(body_request("PATCH", store, blob, fd, observed), *fresh, "pull,push", {}, stop);
    if (response.status != 202 && response.status != 204) throw unexpected(session, "an upload", response);
    const std::string_view next = response.headers.get("Location");
    response = session.send_once({.method = "PUT"},
                                 with_digest(next.empty() ? *fresh : std::string(next), blob.digest),
                                 "pull,push", {}, stop);
  }
  if (response.status != 201 && response.status != 204) throw unexpected(session, "an upload", response);
}

// Whether a partial answer begins where it was asked to (RFC 9110, 14.4).
bool begins_at(const HttpResponse& answer, uint64_t from) {
  return answer.headers.get("Content-Range").starts_with("bytes " + std::to_string(from) + "-");
}

// What the registry sent is its fault, not that of whoever asked.
void commit_download(BlobWriter& writer, const Session& session, const Descriptor& blob) {
  try {
    writer.commit(blob.digest);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Invalid) throw;
    throw Error(ErrorKind::Infrastructure,
                "registry " + session.host() + " sent other content: " + error.full(), "ask who runs it");
  }
}

}  // namespace

void upload_blob(Session& session, const Store& store, const Descriptor& blob, const std::string& mount_from,
                 Observed& observed, std::stop_token stop) {
  const HttpResponse head =
      session.send({.method = "HEAD"}, blob_target(session, blob.digest), "pull,push", {}, stop);
  if (head.status == 200) return observed.tell(TransferEvent::Kind::Present, blob, blob.size);
  for (int attempt = 1;; ++attempt) {
    try {
      const auto location = begin_upload(session, blob, attempt == 1 ? mount_from : std::string{}, stop);
      if (!location) return observed.tell(TransferEvent::Kind::Mounted, blob, blob.size);
      upload_once(session, store, blob, *location, observed, stop);
      return observed.tell(TransferEvent::Kind::Done, blob, blob.size);
    } catch (const Error& error) {
      // Opening a session retries by itself; here the body has to start anew.
      if (!is_retryable(error) || !session.pause(attempt, {}, stop))
        throw error.because("cannot push blob " + blob.digest.short_text() + " to registry " +
                            session.host());
    }
  }
}

void download_blob(Session& session, Store& store, const Descriptor& blob, Observed& observed,
                   std::stop_token stop) {
  if (store.size(blob.digest) == blob.size && store.heal(blob.digest) && store.keep(blob.digest))
    return observed.tell(TransferEvent::Kind::Present, blob, blob.size);
  std::optional<BlobWriter> writer;
  for (int attempt = 1;; ++attempt) {
    try {
      if (!writer) writer.emplace(store.begin_blob(blob.digest.algorithm()));
      const uint64_t from = writer->size();
      HttpRequest request;
      if (from > 0) request.headers.add("Range", "bytes=" + std::to_string(from) + "-");
      bool anew = false;
      const HttpSink sink = [&](const HttpResponse& answer, std::string_view bytes) {
        if (answer.status == 206 && !begins_at(answer, from)) {
          writer.reset();
          throw Error(ErrorKind::Unavailable,
                      "registry " + session.host() + " sent another part than asked for");
        }
        if (from > 0 && answer.status != 206 && !anew) {  // it does not do ranges
          anew = true;
          writer.emplace(store.begin_blob(blob.digest.algorithm()));
        }
        if (writer->size() + bytes.size() > blob.size)
          throw Error(ErrorKind::Infrastructure, "registry " + session.host() + " sends more for blob " +
                                                     blob.digest.short_text() + " than its manifest says");
        writer->write(bytes);
        observed.tell(TransferEvent::Kind::Progress, blob, writer->size());
      };
      if (from < blob.size || blob.size == 0) {
        const HttpResponse response =
            session.send_once(std::move(request), blob_target(session, blob.digest), "pull", sink, stop);
        if (response.status == 404)
          throw Error(ErrorKind::NotFound,
                      "registry " + session.host() + " has no blob " + blob.digest.text() + " in " +
                          session.repository(),
                      "the image is incomplete there; push it again");
        if (response.status != 200 && response.status != 206)
          throw unexpected(session, "a download", response);
      }
      if (writer->size() < blob.size)
        throw Error(ErrorKind::Unavailable, "the download broke off after " + format_bytes(writer->size()));
      commit_download(*writer, session, blob);
      return observed.tell(TransferEvent::Kind::Done, blob, blob.size);
    } catch (const Error& error) {
      if (!is_retryable(error) || !session.pause(attempt, {}, stop))
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
