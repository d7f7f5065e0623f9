#include "tests/unit/resolvers/world.h"

#include <boost/asio/detached.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <cstdlib>
#include <gtest/gtest.h>

#include "base/text.h"

namespace kiln::resolvers {
namespace {

using asio::ip::tcp;
namespace ssl = asio::ssl;

HttpServer::Options on_free_port() {
  HttpServer::Options options;
  options.port = 0;
  return options;
}

Command command(std::vector<std::string> argv) {
  Command made;
  made.argv = std::move(argv);
  return made;
}

// What a CGI program wrote (RFC 3875, section 6): fields, an empty line, the body.
Pages::Page parse_cgi(std::string_view text) {
  Pages::Page page;
  for (size_t end; (end = text.find("\r\n")) != std::string_view::npos;) {
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 2);
    if (line.empty()) break;
    const size_t colon = line.find(':');
    const std::string value(trim(line.substr(colon + 1)));
    if (line.starts_with("Status:"))
      page.status = std::atoi(value.c_str());
    else
      page.headers.add(std::string(line.substr(0, colon)), value);
  }
  page.body = text;
  return page;
}

template <class From, class To>
Awaitable<void> copy(std::shared_ptr<From> from, std::shared_ptr<To> to) {
  char buffer[16 << 10];
  try {
    for (;;) {
      const size_t count = co_await from->async_read_some(asio::buffer(buffer), asio::use_awaitable);
      co_await asio::async_write(*to, asio::buffer(buffer, count), asio::use_awaitable);
    }
  } catch (const boost::system::system_error&) {  // one side has gone
  }
  boost::system::error_code ignored;
  from->lowest_layer().close(ignored);
  to->lowest_layer().close(ignored);
}

}  // namespace

std::string task_named(const std::string& name) {
  return "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: " + name +
         "}\nspec:\n  steps: [{image: busybox, script: echo}]\n";
}

Pages::Pages() : server(on_free_port(), [this](HttpExchange& exchange) { return answer(exchange); }) {}

void Pages::put(const std::string& target, Page page) {
  std::lock_guard lock(mutex_);
  pages_[target] = std::move(page);
}

int Pages::asked() const {
  std::lock_guard lock(mutex_);
  return asked_;
}

Awaitable<void> Pages::answer(HttpExchange& exchange) {
  Page page{404, "nothing here", {}};
  {
    std::lock_guard lock(mutex_);
    ++asked_;
    if (const auto found = pages_.find(std::string(exchange.target())); found != pages_.end())
      page = found->second;
  }
  co_await exchange.respond(page.status, page.headers, page.body);
}

GitHost::GitHost() : server(on_free_port(), [this](HttpExchange& exchange) { return answer(exchange); }) {
  make_dirs(repository());
  git({"init", "-q", "-b", "main"});
}

std::string GitHost::git(std::vector<std::string> arguments) {
  std::vector<std::string> words{"git",         "-C", repository().string(),   "-c",
                                 "user.name=T", "-c", "user.email=t@localhost"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const Finished finished = run(command(words));
  EXPECT_TRUE(finished.ok()) << finished.errors;
  return finished.output.substr(0, finished.output.find('\n'));
}

void GitHost::write(const std::string& path, const std::string& content) {
  make_dirs((repository() / path).parent_path());
  write_file(repository() / path, content);
}

std::string GitHost::commit(const std::string& message) {
  git({"add", "-A"});
  git({"commit", "-q", "-m", message});
  return git({"rev-parse", "HEAD"});
}

int GitHost::asked() const {
  std::lock_guard lock(mutex_);
  return asked_;
}

Awaitable<void> GitHost::answer(HttpExchange& exchange) {
  {
    std::lock_guard lock(mutex_);
    ++asked_;
  }
  if (!wanted_authorization.empty() && exchange.header("Authorization") != wanted_authorization) {
    co_await exchange.respond(401, HttpHeaders().with("WWW-Authenticate", "Basic realm=\"git\""), "");
    co_return;
  }
  Command backend = command({"git", "http-backend"});
  backend.input = co_await exchange.read_all(16u << 20);
  backend.environment = current_environment();
  Environment& environment = *backend.environment;
  environment["GIT_PROJECT_ROOT"] = dir_.path().string();
  environment["GIT_HTTP_EXPORT_ALL"] = "1";
  environment["REQUEST_METHOD"] = std::string(exchange.method());
  environment["PATH_INFO"] = std::string(exchange.path());
  environment["QUERY_STRING"] = std::string(exchange.query());
  environment["CONTENT_TYPE"] = std::string(exchange.header("Content-Type"));
  environment["CONTENT_LENGTH"] = std::to_string(backend.input.size());
  const auto work = [&] { return run(backend); };
  const Finished finished = co_await exchange.on_pool(work);
  const Pages::Page page = parse_cgi(finished.output);
  co_await exchange.respond(page.status, page.headers, page.body);
}

struct TlsFront::State {
  explicit State(const fs::path& certificate, const fs::path& key, uint16_t backend)
      : acceptor(io, {asio::ip::make_address("127.0.0.1"), 0}), backend_port(backend) {
    context.use_certificate_chain_file(certificate);
    context.use_private_key_file(key, ssl::context::pem);
    asio::co_spawn(io, accept(), asio::detached);
    thread = std::jthread([this] { io.run(); });
  }
  ~State() { io.stop(); }

  Awaitable<void> accept() {
    for (;;) {
      tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
      asio::co_spawn(io, serve(std::move(socket)), asio::detached);
    }
  }
  Awaitable<void> serve(tcp::socket socket) {
    const auto outside = std::make_shared<ssl::stream<tcp::socket>>(std::move(socket), context);
    const auto inside = std::make_shared<tcp::socket>(io);
    try {
      co_await outside->async_handshake(ssl::stream_base::server, asio::use_awaitable);
      const tcp::endpoint backend(asio::ip::make_address("127.0.0.1"), backend_port);
      co_await inside->async_connect(backend, asio::use_awaitable);
    } catch (const boost::system::system_error&) {  // a client that does not trust us
      co_return;
    }
    asio::co_spawn(io, copy(outside, inside), asio::detached);
    co_await copy(inside, outside);
  }

  asio::io_context io;
  ssl::context context{ssl::context::tls_server};
  tcp::acceptor acceptor;
  const uint16_t backend_port;
  std::jthread thread;
};

TlsFront::TlsFront(const std::string& backend_authority) : certificate_(dir_.path() / "certificate.pem") {
  const fs::path key = dir_.path() / "key.pem";
  const Finished made = run(command({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                                     "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                                     "-keyout", key.string(), "-out", certificate_.string()}));
  EXPECT_TRUE(made.ok()) << made.errors;
  const std::string port = backend_authority.substr(backend_authority.rfind(':') + 1);
  state_ = std::make_unique<State>(certificate_, key, static_cast<uint16_t>(std::stoi(port)));
}
TlsFront::~TlsFront() = default;

std::string TlsFront::authority() const {
  return "127.0.0.1:" + std::to_string(state_->acceptor.local_endpoint().port());
}

ScopedVariable::ScopedVariable(std::string name, const std::string& value) : name_(std::move(name)) {
  if (const char* before = std::getenv(name_.c_str())) before_ = before;
  ::setenv(name_.c_str(), value.c_str(), 1);
}
ScopedVariable::~ScopedVariable() {
  if (before_)
    ::setenv(name_.c_str(), before_->c_str(), 1);
  else
    ::unsetenv(name_.c_str());
}

World::World() {
  options.cache = dir.path();
  options.on_resolved = [this](const dag::RemoteRef&, const Resolved& resolved) { log.push_back(resolved); };
}

RemoteResolver World::make() {
  return RemoteResolver(client, options);
}

std::string World::fetch(const std::string& resolver, std::map<std::string, std::string> params,
                         const std::string& kind) {
  return make().fetch({resolver, kind, std::move(params)});
}

Error World::error(const std::string& resolver, std::map<std::string, std::string> params,
                   const std::string& kind) {
  try {
    fetch(resolver, std::move(params), kind);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorKind::Failed, "nothing was thrown");
}

}  // namespace kiln::resolvers
