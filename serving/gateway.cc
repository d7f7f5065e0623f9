#include "serving/gateway.h"

#include "base/error.h"
#include "serving/upstream.h"

namespace kiln::serving {
namespace {

constexpr int kAttempts = 4;

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Invalid:
      return 405;
    case ErrorKind::NotFound:
      return 404;
    case ErrorKind::TimedOut:
      return 504;
    case ErrorKind::Unavailable:
      return 503;
    default:
      return 502;
  }
}

}  // namespace

Awaitable<void> serve_service(Serving& serving, HttpExchange& exchange) {
  std::optional<Error> failure;
  try {
    if (exchange.method() == "CONNECT") throw Error(ErrorKind::Invalid, "this is no forward proxy");
    const std::shared_ptr<Revision> revision = co_await serving.route(exchange.host());
    ProxyOptions options{
        .response_start = revision->settings().timeout, .allow_reused = true, .revision = revision->name()};
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
      Revision::Lease lease = co_await revision->acquire();
      bool gone = false;
      try {
        co_await proxy(exchange, lease.instance(), options);
      } catch (const InstanceGone& reason) {
        gone = true;
        if (!reason.reused) lease.suspect();
      }
      if (!gone) co_return;
      options.allow_reused = false;
    }
    throw Error(ErrorKind::Failed, "revision " + revision->name() + " does not answer", "its log says why");
  } catch (const Error& error) {
    if (exchange.started()) throw;  // too late for a status: the server cuts the connection
    failure = error;
  }
  const std::string body = failure->full() + "\n";
  HttpHeaders headers;
  headers.add("Content-Type", "text/plain; charset=utf-8");
  co_await exchange.respond(status_of(failure->kind()), std::move(headers), body);
}

}  // namespace kiln::serving
