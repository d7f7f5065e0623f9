#pragma once

#include <boost/asio/use_future.hpp>
#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "base/fs.h"
#include "base/http_server.h"
#include "registry/client.h"
#include "registry/images.h"
#include "registry/store/store.h"
#include "serving/serving.h"
#include "steps/sandbox.h"

namespace kiln::serving {

// A client that speaks HTTP/1.1 byte by byte, so that a test says when what is sent. Reads give up after a
// minute (a test that waits so long has failed).
class Caller {
 public:
  Caller(uint16_t port, std::string host);

  void send(std::string_view bytes);
  // "GET /path HTTP/1.1" with Host, `fields` ("A: b\r\n") and the end of the head.
  void request(std::string_view line, std::string_view fields = {});
  void chunk(std::string_view bytes);  // an empty one ends the body

  struct Answer {
    int status = 0;
    std::string head, body;
    bool cut = false;  // the connection ended before the body did
    std::string field(std::string_view name) const;
  };
  Answer answer(bool to_head = false);  // a whole one
  std::string head();                   // only its head
  std::string next_chunk();
  std::string read(size_t size);  // exactly, or less at the end of the connection
  std::string rest();             // until the connection ends
  void finish();                  // no more bytes from here

 private:
  bool fill();
  UniqueFd fd_;
  std::string host_, buffer_;
};

// A server with a serving layer on folders of its own, and images whose program does what the path says
// (program/main.cc).
class World {
 public:
  explicit World(RevisionOptions options = quick());
  ~World();

  // Window and grace far beyond any test, so that nothing stops by itself.
  static RevisionOptions quick();

  // Stops the server and starts another on the same folders, as a restart does.
  void restart(RevisionOptions options = quick());
  void stop();  // in order, as `kiln serve` does
  void drop();  // the loop stops at once, as if something had thrown

  // A service's document; `mode` is the program's argument, `more` is merged into it.
  static nlohmann::json document(const std::string& name,
                                 const nlohmann::json& more = nlohmann::json::object());
  ServiceRecord apply(const nlohmann::json& document);
  // apply() and wait until the revision is Ready or Failed.
  RevisionRecord deploy(const nlohmann::json& document);
  RevisionRecord until_deployed(const std::string& revision);

  // Runs a function on the server's I/O thread, where all state lives.
  template <class Function>
  auto on_io(Function function) {
    std::packaged_task<decltype(function())()> task(std::move(function));
    auto result = task.get_future();
    asio::post(server->io(), [&task] { task(); });
    return result.get();
  }
  int instances(const std::string& revision);
  void until_instances(const std::string& revision, int count);

  Caller caller(const std::string& host = "hello") {
    return Caller(server->port(), host + ".default.localhost");
  }
  Caller::Answer get(const std::string& path, const std::string& host = "hello");
  // A request to the API.
  Caller::Answer api(const std::string& method, const std::string& path, const std::string& body = {});

  TempDir folder;
  registry::Store store;
  registry::Client client;
  registry::Images images;
  std::unique_ptr<steps::SandboxRuntime> runtime;
  std::unique_ptr<HttpServer> server;
  std::unique_ptr<Serving> serving;

 private:
  void start(RevisionOptions options);
};

#define KILN_NEEDS_SANDBOX()                                                  \
  if (const std::string problem = steps::sandbox_problem(); !problem.empty()) \
  GTEST_SKIP() << "no sandboxes here: " << problem

}  // namespace kiln::serving
