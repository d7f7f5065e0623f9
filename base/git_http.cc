#include "base/git_http.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <git2/sys/transport.h>
#include <optional>
#include <string_view>
#include <sys/mman.h>

#include "base/error.h"
#include "base/http_client.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace kiln::detail {
namespace {

constexpr std::string_view kRefs = "/info/refs?service=git-upload-pack", kPack = "/git-upload-pack";
constexpr int kRedirectLimit = 5;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// Where nothing but the cache can be written, there is no /tmp.
File scratch_file(const std::filesystem::path& folder) {
  UniqueFd fd(folder.empty() ? ::memfd_create("git", MFD_CLOEXEC)
                             : ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd && !folder.empty()) fd = UniqueFd(::memfd_create("git", MFD_CLOEXEC));  // no O_TMPFILE there
  File file(fd ? ::fdopen(fd.get(), "w+") : nullptr);
  if (!file) throw_errno("cannot make a temporary file");
  (void)fd.release();
  return file;
}

HttpClient::Options client_options(const GitTransfer& transfer) {
  HttpClient::Options options;
  options.tls.verify_peer = transfer.verify_tls;
  options.user_agent = "git/2.0 (kiln)";  // some hosts show web pages to whatever is not called git
  if (const char* file = std::getenv("GIT_SSL_CAINFO"); file && *file) options.tls.ca_file = file;
  return options;
}

// Where the repository is, and who asks.
struct Remote {
  Url base;                   // without the "/" at its end
  std::string authorization;  // for `origin` alone
  std::string origin;         // scheme and authority
};

std::string origin_of(const Url& url) {
  return url.scheme + "://" + url.authority();
}

Remote parse_remote(std::string text) {
  Remote remote;
  const size_t start = text.find("://") + 3;
  const size_t at = text.rfind('@', text.find('/', start));
  if (at != std::string::npos && at > start) {
    const std::string user = text.substr(start, at - start);
    const size_t colon = user.find(':');
    const std::string password = colon == std::string::npos ? "" : user.substr(colon + 1);
    remote.authorization =
        "Basic " + base64_encode(percent_decode(user.substr(0, colon)) + ":" + percent_decode(password));
    text.erase(start, at + 1 - start);
  }
  const auto url = Url::parse(text);
  if (!url) throw Error(ErrorKind::NotFound, "there is no git repository at this URL", "check the URL");
  remote.base = *url;
  while (remote.base.target.ends_with('/')) remote.base.target.pop_back();
  remote.origin = origin_of(remote.base);
  return remote;
}

struct Connection : git_smart_subtransport {
  explicit Connection(GitTransfer& given)
      : git_smart_subtransport{}, transfer(given), http(client_options(given)) {}

  HttpResponse send(HttpRequest request, std::string_view service, const HttpSink& sink) {
    request.url = origin_of(remote->base) + remote->base.target + std::string(service);
    if (!remote->authorization.empty() && origin_of(remote->base) == remote->origin)
      request.headers.add("Authorization", remote->authorization);
    request.public_only = origin_of(remote->base) != remote->origin && asked_in_public;
    return http.send(request, sink, transfer.stop);
  }

  // The answer as a file at its beginning.
  File ask(bool for_refs, const std::string& body);
  void follow(const HttpResponse& response);

  GitTransfer& transfer;
  HttpClient http;
  std::optional<Remote> remote;
  bool asked_in_public = false;
};

void Connection::follow(const HttpResponse& response) {
  const std::string location(response.headers.get("Location"));
  const Url asked = *Url::parse(origin_of(remote->base) + remote->base.target + std::string(kRefs));
  auto next = asked.resolve(location);
  if (!next || !next->target.ends_with(kRefs) || (asked.scheme == "https" && next->scheme != "https"))
    throw Error(ErrorKind::Unavailable,
                remote->base.authority() + " redirects to where git should not follow");
  next->target.resize(next->target.size() - kRefs.size());
  remote->base = *next;
}

File Connection::ask(bool for_refs, const std::string& body) {
  File file = scratch_file(transfer.scratch);
  const HttpSink keep = [&](const HttpResponse&, std::string_view bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size())
      throw_errno("cannot write a temporary file");
  };
  HttpRequest request;
  if (!for_refs) {
    request.method = "POST";
    request.headers.add("Content-Type", "application/x-git-upload-pack-request");
    request.headers.add("Accept", "application/x-git-upload-pack-result");
    request.body = HttpBody::of_text(body);
  }
  HttpResponse response = send(request, for_refs ? kRefs : kPack, keep);
  for (int hops = 0; for_refs && response.status >= 300 && response.status < 400; ++hops) {
    if (hops == kRedirectLimit)
      throw Error(ErrorKind::Unavailable, remote->base.authority() + " redirects in circles");
    follow(response);
    response = send(request, kRefs, keep);
  }
  if (response.status == 401 || response.status == 403)
    throw Error(ErrorKind::Failed, "authentication required", "give credentials in the URL");
  const std::string_view type = response.headers.get("Content-Type");
  if (response.status == 404 || (response.ok() && for_refs && !type.starts_with("application/x-git-")))
    throw Error(ErrorKind::NotFound, "there is no git repository at this URL", "check the URL");
  if (!response.ok())
    throw Error(ErrorKind::Unavailable,
                remote->base.authority() + " answers " + std::to_string(response.status) + " " +
                    std::string(http_reason(response.status)),
                "try again later");
  std::rewind(file.get());
  return file;
}

struct Stream : git_smart_subtransport_stream {
  Stream(Connection& given, bool refs) : git_smart_subtransport_stream{}, connection(given), for_refs(refs) {}
  Connection& connection;
  const bool for_refs;
  std::string request;
  File answer;  // once something was read
};

// Runs `action` and keeps what it throws.
template <class Action>
int guarded(GitTransfer& transfer, const Action& action) {
  try {
    action();
    return 0;
  } catch (...) {
    transfer.failure = std::current_exception();
    git_error_set_str(GIT_ERROR_NET, "the http transport failed");
    return GIT_EUSER;
  }
}

int on_write(git_smart_subtransport_stream* stream, const char* bytes, size_t size) {
  static_cast<Stream*>(stream)->request.append(bytes, size);
  return 0;
}

int on_read(git_smart_subtransport_stream* base, char* buffer, size_t size, size_t* count) {
  Stream& stream = *static_cast<Stream*>(base);
  return guarded(stream.connection.transfer, [&] {
    if (!stream.answer) stream.answer = stream.connection.ask(stream.for_refs, stream.request);
    *count = std::fread(buffer, 1, size, stream.answer.get());
  });
}

int on_action(git_smart_subtransport_stream** out, git_smart_subtransport* base, const char* url,
              git_smart_service_t service) {
  Connection& connection = *static_cast<Connection*>(base);
  return guarded(connection.transfer, [&] {
    if (service != GIT_SERVICE_UPLOADPACK_LS && service != GIT_SERVICE_UPLOADPACK)
      throw Error(ErrorKind::Failed, "pushing over this connection is not possible");
    if (!connection.remote) {
      connection.remote = parse_remote(url);
      connection.asked_in_public = !is_private_address(connection.remote->base.host) &&
                                   !is_loopback_host(connection.remote->base.host);
    }
    auto stream = std::make_unique<Stream>(connection, service == GIT_SERVICE_UPLOADPACK_LS);
    stream->subtransport = base;
    stream->read = on_read;
    stream->write = on_write;
    stream->free = [](git_smart_subtransport_stream* self) { delete static_cast<Stream*>(self); };
    *out = stream.release();
  });
}

int make_connection(git_smart_subtransport** out, git_transport*, void* payload) {
  GitTransfer& transfer = *static_cast<GitTransfer*>(payload);
  return guarded(transfer, [&] {
    auto connection = std::make_unique<Connection>(transfer);
    connection->action = on_action;
    connection->close = [](git_smart_subtransport*) { return 0; };
    connection->free = [](git_smart_subtransport* self) { delete static_cast<Connection*>(self); };
    *out = connection.release();
  });
}

}  // namespace

bool is_http_url(const char* url) {
  const std::string lower = to_lower(std::string_view(url).substr(0, 8));
  return lower.starts_with("http://") || lower.starts_with("https://");
}

int make_http_transport(git_transport** out, git_remote* remote, GitTransfer& transfer) {
  git_smart_subtransport_definition definition{make_connection, 1, &transfer};
  return git_transport_smart(out, remote, &definition);
}

}  // namespace kiln::detail
