#include "tests/unit/serving/world.h"

#include <arpa/inet.h>
#include <boost/asio/post.hpp>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/text.h"
#include "serving/api.h"
#include "serving/gateway.h"
#include "tests/unit/registry/tar_builder.h"

namespace kiln::serving {
namespace {

registry::Descriptor make_image(registry::Store& store, const std::string& mode) {
  registry::TarBuilder tar;
  tar.folder("etc/").folder("tmp/", 01777);
  tar.file("etc/passwd", "root:x:0:0::/:\nweb:x:1000:1000::/home/web:\n").file("etc/group", "web:x:1000:\n");
  tar.file("program", read_file(SERVING_TEST_PROGRAM), 0755);
  const std::string layer = tar.finish();
  registry::ImageConfig config;
  config.architecture = registry::machine_architecture();
  config.entrypoint = {"/program", mode};
  config.user = "web";
  config.diff_ids = {sha256(layer)};
  const registry::Manifest manifest{std::string(registry::media::kManifest),
                                    store.put(registry::serialize(config), registry::media::kConfig),
                                    {store.put(layer, registry::media::kLayer)},
                                    {}};
  return store.put(registry::serialize(manifest), registry::media::kManifest);
}

}  // namespace

Caller::Caller(uint16_t port, std::string host)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), host_(std::move(host)) {
  const timeval minute{60, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute);
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &minute, sizeof minute);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot connect");
}

void Caller::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw std::runtime_error("the server takes no more");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void Caller::request(std::string_view line, std::string_view fields) {
  send(std::string(line) + "\r\nHost: " + host_ + "\r\n" + std::string(fields) + "\r\n");
}

void Caller::chunk(std::string_view bytes) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  send(size + std::string(bytes) + "\r\n");
}

bool Caller::fill() {
  char bytes[65536];
  ssize_t n = 0;
  do {  // with a time limit the kernel does not go on by itself when a sandbox's end (SIGCHLD) came between
    n = ::recv(fd_.get(), bytes, sizeof bytes, 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) throw std::runtime_error("no answer in a minute");
  if (n <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(n));
  return true;
}

std::string Caller::head() {
  size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
    if (!fill()) return std::exchange(buffer_, {});
  const std::string head = buffer_.substr(0, end + 4);
  buffer_.erase(0, end + 4);
  return head;
}

std::string Caller::read(size_t size) {
  while (buffer_.size() < size && fill()) {
  }
  const std::string bytes = buffer_.substr(0, size);
  buffer_.erase(0, bytes.size());
  return bytes;
}

std::string Caller::next_chunk() {
  size_t end;
  while ((end = buffer_.find("\r\n")) == std::string::npos)
    if (!fill()) throw std::out_of_range("the connection ended inside a chunked body");
  const size_t size = std::stoul(buffer_.substr(0, end), nullptr, 16);
  buffer_.erase(0, end + 2);
  const std::string bytes = read(size + 2);
  if (bytes.size() < size + 2) throw std::out_of_range("the connection ended inside a chunk");
  return bytes.substr(0, size);
}

std::string Caller::rest() {
  while (fill()) {
  }
  return std::exchange(buffer_, {});
}

void Caller::finish() {
  ::shutdown(fd_.get(), SHUT_WR);
}

std::string Caller::Answer::field(std::string_view name) const {
  for (const std::string& line : split(head, '\n'))
    if (const size_t colon = line.find(':'); iequals(line.substr(0, colon), name))
      return std::string(trim(line.substr(colon + 1)));
  return {};
}

Caller::Answer Caller::answer(bool to_head) {
  Answer answer;
  answer.head = head();
  if (!answer.head.starts_with("HTTP/1.1 ")) {
    answer.cut = true;
    return answer;
  }
  answer.status = std::stoi(answer.head.substr(9, 3));
  if (to_head || answer.status == 204 || answer.status == 304) return answer;
  if (iequals(answer.field("Transfer-Encoding"), "chunked")) {
    try {
      for (std::string piece = next_chunk(); !piece.empty(); piece = next_chunk()) answer.body += piece;
    } catch (const std::out_of_range&) {
      answer.cut = true;
    }
    return answer;
  }
  const size_t length = std::stoul("0" + answer.field("Content-Length"));
  answer.body = read(length);
  answer.cut = answer.body.size() < length;
  return answer;
}

RevisionOptions World::quick() {
  RevisionOptions options;
  options.window = std::chrono::hours(1);
  return options;
}

World::World(RevisionOptions options)
    : store(folder.path() / "store"), client(registry::Client::Options{}), images(store, client) {
  spdlog::set_level(spdlog::level::off);
  runtime = steps::make_runtime("native", folder.path() / "run");
  store.tag("kiln/good:latest", make_image(store, "serve"));
  store.tag("kiln/crash:latest", make_image(store, "crash"));
  store.tag("kiln/silent:latest", make_image(store, "silent"));
  start(std::move(options));
}

World::~World() {
  if (server) stop();
}

void World::start(RevisionOptions options) {
  server = std::make_unique<HttpServer>(HttpServer::Options{.port = 0, .threads = 1},
                                        [this](HttpExchange& exchange) {
                                          if (serving->is_service_host(exchange.host()))
                                            return serve_service(*serving, exchange);
                                          return serve_api(*serving, exchange);
                                        });
  Serving::Options settings{.database = folder.path() / "kiln.db",
                            .logs = folder.path() / "logs",
                            .domain = "localhost",
                            .authority = "localhost:8080",
                            .revisions = std::move(options)};
  serving = std::make_unique<Serving>(std::move(settings), images, *runtime, server->io(), server->pool());
  on_io([this] { serving->resume(); });
}

void World::restart(RevisionOptions options) {
  if (server) stop();
  start(std::move(options));
}

void World::stop() {
  asio::co_spawn(server->io(), serving->shut_down(std::chrono::seconds(30)), asio::use_future).get();
  drop();
}

void World::drop() {
  server->stop(std::chrono::milliseconds(0));
  serving.reset();
  server.reset();
}

nlohmann::json World::document(const std::string& name, const nlohmann::json& more) {
  nlohmann::json document = {
      {"apiVersion", "serving.knative.dev/v1"},
      {"kind", "Service"},
      {"metadata", {{"name", name}}},
      {"spec", {{"template", {{"spec", {{"containers", {{{"image", "kiln/good"}}}}}}}}}}};
  document.merge_patch(more);
  return document;
}

ServiceRecord World::apply(const nlohmann::json& document) {
  return on_io([&] { return serving->apply(ServiceSpec::parse(document)); });
}

RevisionRecord World::deploy(const nlohmann::json& document) {
  return until_deployed(apply(document).latest_created);
}

RevisionRecord World::until_deployed(const std::string& revision) {
  const auto wait = [](Serving* layer, std::string name) -> Awaitable<RevisionRecord> {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (;;) {
      const auto record = layer->records().revision("default", name);
      if (!record) throw std::runtime_error("no revision " + name);
      if (record->state != RevisionState::Deploying) co_return *record;
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error(name + " is still deploying");
      co_await layer->changed(deadline);
    }
  };
  return asio::co_spawn(server->io(), wait(serving.get(), revision), asio::use_future).get();
}

int World::instances(const std::string& revision) {
  return on_io([&] {
    const auto record = serving->records().revision("default", revision);
    return record ? serving->instances_of(*record) : -1;
  });
}

// There is no event for it, so this looks again and again; it never decides by time.
void World::until_instances(const std::string& revision, int count) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (instances(revision) != count) {
    if (std::chrono::steady_clock::now() > give_up)
      throw std::runtime_error(revision + " has " + std::to_string(instances(revision)) + " instances");
    std::this_thread::yield();
  }
}

Caller::Answer World::get(const std::string& path, const std::string& host) {
  Caller caller = this->caller(host);
  caller.request("GET " + path + " HTTP/1.1");
  return caller.answer();
}

Caller::Answer World::api(const std::string& method, const std::string& path, const std::string& body) {
  Caller caller(server->port(), "127.0.0.1");
  caller.request(method + " " + path + " HTTP/1.1",
                 "Content-Length: " + std::to_string(body.size()) + "\r\n");
  caller.send(body);
  return caller.answer();
}

}  // namespace kiln::serving
