#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "base/http_server.h"
#include "base/process.h"
#include "resolvers/remote_resolver.h"
#include "tests/unit/registry/fixtures.h"

// The outside for the resolvers, with real parts where there are any: `git http-backend` behind Kiln's HTTP
// server, Kiln's own registry, TLS by OpenSSL. The hub is a fake of its API, made of fixed answers.
namespace kiln::resolvers {

// A Task called `name`, as text.
std::string task_named(const std::string& name);

// Answers what was put under a target, 404 otherwise.
class Pages {
 public:
  struct Page {
    int status = 200;
    std::string body{};
    HttpHeaders headers{};
  };
  Pages();
  void put(const std::string& target, Page page);
  std::string url(const std::string& target) const { return "http://" + server.authority() + target; }
  int asked() const;  // how many requests came
  void stop() { server.stop(); }

 private:
  Awaitable<void> answer(HttpExchange& exchange);
  mutable std::mutex mutex_;
  std::map<std::string, Page> pages_;
  int asked_ = 0;

 public:
  HttpServer server;  // last: it ends first
};

// A repository "app" served by git itself over HTTP.
class GitHost {
 public:
  GitHost();
  std::string git(std::vector<std::string> arguments);  // in the repository; the first line of what it says
  void write(const std::string& path, const std::string& content);
  std::string commit(const std::string& message);  // of all that was written; its id
  std::string url() const { return "http://" + server.authority() + "/app"; }
  std::string authority() const { return server.authority(); }
  fs::path repository() const { return dir_.path() / "app"; }
  int asked() const;
  void stop() { server.stop(); }
  // Requests without this Authorization header get 401.
  std::string wanted_authorization;

 private:
  Awaitable<void> answer(HttpExchange& exchange);
  TempDir dir_;
  mutable std::mutex mutex_;
  int asked_ = 0;

 public:
  HttpServer server;
};

// Takes connections and never says a word.
class SilentPeer {
 public:
  SilentPeer() : acceptor_(io_, {asio::ip::make_address("127.0.0.1"), 0}) {}
  std::string authority() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

 private:
  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_;
};

// TLS in front of a server on this machine, with a certificate that only its own file vouches for.
class TlsFront {
 public:
  explicit TlsFront(const std::string& backend_authority);
  ~TlsFront();
  std::string authority() const;
  const fs::path& certificate() const { return certificate_; }

 private:
  struct State;
  TempDir dir_;
  fs::path certificate_;
  std::unique_ptr<State> state_;
};

// An environment variable for the length of a test.
class ScopedVariable {
 public:
  ScopedVariable(std::string name, const std::string& value);
  ~ScopedVariable();

 private:
  std::string name_;
  std::optional<std::string> before_;
};

// A resolver with a cache of its own. What it resolved lies in `log`, the last one last.
class World {
 public:
  World();
  std::string fetch(const std::string& resolver, std::map<std::string, std::string> params,
                    const std::string& kind = "Task");
  // The error that comes instead.
  Error error(const std::string& resolver, std::map<std::string, std::string> params,
              const std::string& kind = "Task");
  RemoteResolver make();

  TempDir dir;
  registry::Client client{registry::impatient()};
  Options options;
  std::vector<Resolved> log;
};

}  // namespace kiln::resolvers
