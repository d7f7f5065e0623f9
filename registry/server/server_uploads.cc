#include "registry/server/server_uploads.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "registry/reference.h"
#include "registry/server/piece_task.h"

namespace kiln::registry::detail {
namespace {

// Up to seven of them are on their way for each upload (background_hasher.h).
constexpr uint64_t kPiece = 128u << 10;

Answer upload_unknown(const Route& route) {
  return error_answer(404, "BLOB_UPLOAD_UNKNOWN", "there is no upload " + route.argument);
}

Answer bad_digest(std::string_view text) {
  return error_answer(400, "DIGEST_INVALID",
                      "\"" + std::string(text) + "\" is not a digest this registry knows");
}

Answer created(const Route& route, const Digest& digest) {
  Answer answer{201, {}, {}};
  answer.headers.add("Location", "/v2/" + route.repository + "/blobs/" + digest.text());
  answer.headers.add("Docker-Content-Digest", digest.text());
  return answer;
}

// As much as there is, up to the buffer's size; less at the end only.
Awaitable<size_t> read_piece(HttpExchange& exchange, std::span<char> buffer) {
  size_t filled = 0;
  while (filled < buffer.size()) {
    const size_t count = co_await exchange.read_some(buffer.subspan(filled));
    if (count == 0) break;
    filled += count;
  }
  co_return filled;
}

// Whose uploads are counted together: a user's; without a name, those from one machine.
std::string owner_of(const Caller& caller) {
  return caller.user.empty() ? caller.remote.substr(0, caller.remote.rfind(':')) : caller.user;
}

// Ends a session at scope exit.
struct DropIt {
  UploadSessions& sessions;
  const std::string id;
  ~DropIt() { sessions.drop(id); }
};

}  // namespace

Awaitable<std::shared_ptr<Upload>> UploadEndpoints::find(const Route& route, const Caller& caller) {
  auto upload = sessions_.find(route.argument, route.repository);
  if (upload || !Store::is_writer_id(route.argument)) co_return upload;
  // It reads what is there: not on the threads of those who pull.
  co_return co_await on_pool(
      writers_.get(), [&] { return sessions_.resume(route.argument, route.repository, owner_of(caller)); });
}

Descriptor UploadEndpoints::descriptor_of(const Digest& digest) const {
  return {"application/octet-stream", digest, store_.size(digest).value_or(0), {}, {}, {}, {}};
}

// A piece is read on the connection's executor while the pool writes the one before, and the writer's own
// thread hashes those before that.
Awaitable<void> UploadEndpoints::receive(HttpExchange& exchange, Upload& upload) {
  BlobWriter& writer = upload.writer;
  // One byte more than there is: a body that is one piece shows its end at once.
  const size_t size = std::min(exchange.content_length().value_or(kPiece), kPiece - 1) + 1;
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  PieceTask write(executor, exchange.pool());
  std::string reading, writing;
  std::exception_ptr gone;  // the client
  size_t filled = size;
  bool in_pieces = false;
  while (filled == size && !gone && !write.failure()) {
    reading.resize(size);
    const std::span<char> room(reading);
    try {
      filled = co_await read_piece(exchange, room);
    } catch (...) {
      gone = std::current_exception();
    }
    co_await write.join();
    if (gone || filled == 0 || write.failure()) continue;
    reading.resize(filled);
    std::swap(reading, writing);
    in_pieces = in_pieces || filled == size;
    write.start([&] {
      if (upload.counted) upload.counted->grow(writing.size());
      if (in_pieces)
        writing = writer.write_piece(std::move(writing));
      else
        writer.write(writing);  // all of it: no thread for that
      upload.written = writer.size();
    });
    metrics_.received(filled);
  }
  co_await write.join();
  if (in_pieces) {
    write.start([&] { writer.rest(); });  // the client may take an hour for what is left
    co_await write.join();
  }
  try {
    for (const std::exception_ptr& failure : {write.failure(), gone})
      if (failure) std::rethrow_exception(failure);
  } catch (const RegistryHooks::Refused&) {  // there is no going on: it is not to take others' room until it
                                             // expires
    sessions_.drop(upload.id());
    throw;
  }
}

Answer UploadEndpoints::located(int status, const Upload& upload) {
  Answer answer{status, {}, {}};
  const uint64_t size = upload.written;
  answer.headers.add("Location", "/v2/" + upload.repository + "/blobs/uploads/" + upload.id());
  answer.headers.add("Range", "0-" + std::to_string(size == 0 ? 0 : size - 1));
  answer.headers.add("Docker-Upload-UUID", upload.id());
  return answer;
}

Awaitable<Answer> UploadEndpoints::commit(const Route& route, const Caller& caller, Upload& upload,
                                          const Digest& digest) {
  std::string problem;
  const DropIt drop_it{sessions_, upload.id()};  // whatever comes of it
  co_await on_pool(writers_.get(), [&] {
    try {
      if (upload.counted) upload.counted->commits(digest);
      upload.writer.commit(digest);
      blobs_.add(route.repository, digest);
      if (upload.counted) upload.counted->committed();
      tell(options_.hooks, caller, RegistryEvent::Action::Push, route.repository, {}, descriptor_of(digest));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Invalid) throw;
      problem = error.message();
    }
  });
  co_return problem.empty() ? created(route, digest) : error_answer(400, "DIGEST_INVALID", problem);
}

std::optional<Answer> UploadEndpoints::mount(const Route& route, const Caller& caller, const Digest& digest,
                                             const std::optional<std::string>& from) {
  const auto gives = [&](const std::string& repository) {
    return caller.may(repository, Right::Pull) && blobs_.shows(repository, digest);
  };
  bool readable = blobs_.shows(route.repository, digest);
  if (!readable && from) readable = gives(*from);
  if (!readable && !from) readable = std::ranges::any_of(store_.index()->repositories(), gives);
  if (!readable) return std::nullopt;
  RegistryHooks::Admission admission;
  if (options_.hooks) admission = options_.hooks->before_mount(route.repository, digest);
  if (auto refusal = refused(admission.refusal)) return refusal;
  if (!store_.keep(digest)) return std::nullopt;
  blobs_.add(route.repository, digest);
  tell(options_.hooks, caller, RegistryEvent::Action::Mount, route.repository, {}, descriptor_of(digest));
  return created(route, digest);
}

Awaitable<Answer> UploadEndpoints::begin(HttpExchange& exchange, const Route& route, const Caller& caller) {
  if (sessions_.is_time_to_sweep()) co_await exchange.on_pool([&] { store_.remove_abandoned_uploads(); });
  if (options_.hooks) {
    // Only who sends the blob with this very request says how large it is.
    const auto size = exchange.query_value("digest") ? exchange.content_length() : std::nullopt;
    const auto refusal = co_await exchange.on_pool(
        [&] { return refused(options_.hooks->before_upload(route.repository, size)); });
    if (refusal) co_return *refusal;
  }
  if (const auto wanted = exchange.query_value("mount")) {
    const auto digest = Digest::parse(*wanted);
    if (!digest) co_return bad_digest(*wanted);
    const auto from = exchange.query_value("from");
    if (from && !is_repository_name(*from))
      co_return error_answer(400, "NAME_INVALID", "\"" + *from + "\" is not a repository name");
    auto answer = co_await exchange.on_pool([&] { return mount(route, caller, *digest, from); });
    if (answer) co_return std::move(*answer);
  }
  std::string algorithm = "sha256";
  if (const auto wanted = exchange.query_value("digest-algorithm")) {
    if (*wanted != "sha256" && *wanted != "sha512") co_return bad_digest(*wanted);
    algorithm = *wanted;
  }
  std::optional<Digest> digest;
  if (const auto text = exchange.query_value("digest")) {
    digest = Digest::parse(*text);
    if (!digest) co_return bad_digest(*text);
    algorithm = digest->algorithm();
  }
  const std::shared_ptr<Upload> upload = sessions_.create(route.repository, algorithm, owner_of(caller));
  if (!upload) {
    Answer busy = error_answer(429, "TOOMANYREQUESTS",
                               "too many uploads at once; finish or cancel some, or come again");
    busy.headers.add("Retry-After", "1");
    co_return busy;
  }
  if (!digest) {
    co_await exchange.on_pool([&] { upload->save(/*flush=*/false); });
    co_return located(202, *upload);
  }
  const UploadSessions::Claim claim(sessions_, upload);
  // If the client breaks off here, nobody knows of the upload: it would only wait to expire.
  const DropIt drop_it{sessions_, upload->id()};
  co_await receive(exchange, *upload);
  co_return co_await commit(route, caller, *upload, *digest);
}

std::optional<Answer> UploadEndpoints::out_of_order(const HttpExchange& exchange, const Upload& upload) {
  const std::string_view header = exchange.header("Content-Range");
  if (header.empty()) return std::nullopt;
  const auto range = parse_content_range(header);
  const auto length = exchange.content_length();
  if (range && range->from == upload.writer.size() && (!length || *length == range->length))
    return std::nullopt;
  Answer answer = error_answer(416, "BLOB_UPLOAD_INVALID", "the chunk does not follow on what is there");
  for (const auto& [name, value] : located(416, upload).headers) answer.headers.add(name, value);
  return answer;
}

Awaitable<Answer> UploadEndpoints::append(HttpExchange& exchange, const Route& route, const Caller& caller) {
  const std::shared_ptr<Upload> upload = co_await find(route, caller);
  if (!upload) co_return upload_unknown(route);
  const UploadSessions::Claim claim(sessions_, upload);
  if (!claim) co_return error_answer(409, "BLOB_UPLOAD_INVALID", "another request writes to this upload");
  if (auto refusal = out_of_order(exchange, *upload)) co_return std::move(*refusal);
  co_await receive(exchange, *upload);
  co_await on_pool(writers_.get(), [&] { upload->save(); });
  co_return located(202, *upload);
}

Awaitable<Answer> UploadEndpoints::finish(HttpExchange& exchange, const Route& route, const Caller& caller) {
  const std::shared_ptr<Upload> upload = co_await find(route, caller);
  if (!upload) co_return upload_unknown(route);
  const UploadSessions::Claim claim(sessions_, upload);
  if (!claim) co_return error_answer(409, "BLOB_UPLOAD_INVALID", "another request writes to this upload");
  const auto text = exchange.query_value("digest");
  const auto digest = Digest::parse(text.value_or(""));
  if (!digest) co_return bad_digest(text.value_or(""));
  if (auto refusal = out_of_order(exchange, *upload)) co_return std::move(*refusal);
  co_await receive(exchange, *upload);
  co_return co_await commit(route, caller, *upload, *digest);
}

Awaitable<Answer> UploadEndpoints::status(const Route& route, const Caller& caller) {
  const std::shared_ptr<Upload> upload = co_await find(route, caller);
  if (!upload) co_return upload_unknown(route);
  co_return located(204, *upload);
}

Awaitable<Answer> UploadEndpoints::cancel(const Route& route, const Caller& caller) {
  const std::shared_ptr<Upload> upload = co_await find(route, caller);
  if (!upload) co_return upload_unknown(route);
  sessions_.drop(upload->id());
  co_return Answer{204, {}, {}};
}

}  // namespace kiln::registry::detail
