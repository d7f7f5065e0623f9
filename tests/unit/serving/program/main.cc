// The program inside the test image: a small HTTP server that does what the path says, and misbehaves on
// demand. Static, because the image holds nothing else.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <pthread.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

namespace {

struct Connection {
  explicit Connection(int socket) : fd(socket) {}
  int fd;
  std::string buffer;  // read, not yet used
  bool chunked = false;
  size_t remaining = 0;
  std::string head, path;

  bool fill() {
    char bytes[16384];
    const ssize_t n = read(fd, bytes, sizeof bytes);
    if (n <= 0) return false;
    buffer.append(bytes, static_cast<size_t>(n));
    return true;
  }
  bool send(const std::string& bytes) {
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (n <= 0) return false;
      done += static_cast<size_t>(n);
    }
    return true;
  }
  std::string line() {
    size_t end;
    while ((end = buffer.find("\r\n")) == std::string::npos)
      if (!fill()) return {};
    std::string text = buffer.substr(0, end);
    buffer.erase(0, end + 2);
    return text;
  }
  bool read_head() {
    size_t end;
    while ((end = buffer.find("\r\n\r\n")) == std::string::npos)
      if (!fill()) return false;
    head = buffer.substr(0, end + 4);
    buffer.erase(0, end + 4);
    const size_t first = head.find(' ');
    path = head.substr(first + 1, head.find(' ', first + 1) - first - 1);
    chunked = strcasestr(head.c_str(), "transfer-encoding: chunked") != nullptr;
    const char* length = strcasestr(head.c_str(), "content-length:");
    remaining = length ? strtoul(length + 15, nullptr, 10) : 0;
    return true;
  }
  // A piece of the body; empty at its end.
  std::string piece() {
    if (chunked && remaining == 0) {
      remaining = strtoul(line().c_str(), nullptr, 16);
      if (remaining == 0) {
        line();
        chunked = false;
        return {};
      }
    }
    if (remaining == 0) return {};
    if (buffer.empty() && !fill()) return {};
    std::string bytes = buffer.substr(0, remaining);
    buffer.erase(0, bytes.size());
    remaining -= bytes.size();
    if (chunked && remaining == 0) line();
    return bytes;
  }
  bool chunk(const std::string& bytes) {
    char size[20];
    snprintf(size, sizeof size, "%zx\r\n", bytes.size());
    return send(size + bytes + "\r\n");
  }
  bool answer(const std::string& status, const std::string& body, const std::string& fields = {}) {
    return send("HTTP/1.1 " + status + "\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body);
  }
};

std::string environment(const char* name) {
  const char* value = getenv(name);
  return value ? value : "";
}

std::string host() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

bool after(const std::string& path, const char* prefix, std::string& rest) {
  if (path.compare(0, strlen(prefix), prefix) != 0) return false;
  rest = path.substr(strlen(prefix));
  return true;
}

std::atomic<int> dropped{0};

// False: the connection ends.
bool serve(Connection& c) {
  std::string rest;
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  if (c.path == "/") return c.answer("200 OK", environment("K_REVISION") + "\n");
  if (c.path == "/host") return c.answer("200 OK", host());
  if (c.path == "/env")
    return c.answer("200 OK", environment("PORT") + " " + environment("K_SERVICE") + " " +
                                  environment("K_CONFIGURATION") + " " + environment("GREETING"));
  if (c.path == "/head")
    return c.answer("200 OK", c.head, "X-Kept: yes\r\nX-Hop: no\r\nConnection: X-Hop\r\n");
  if (c.path == "/hold") {  // answers at once, ends when the request's body does
    if (!c.send(chunked) || !c.chunk(host() + "\n")) return false;
    while (!c.piece().empty()) {
    }
    return c.chunk("done\n") && c.send("0\r\n\r\n");
  }
  if (c.path == "/echo") {
    if (!c.send(chunked)) return false;
    for (std::string piece = c.piece(); !piece.empty(); piece = c.piece())
      if (!c.chunk(piece)) return false;
    return c.send("0\r\n\r\n");
  }
  if (c.path == "/count") {
    size_t total = 0;
    for (std::string piece = c.piece(); !piece.empty(); piece = c.piece()) total += piece.size();
    return c.answer("200 OK", std::to_string(total));
  }
  if (after(c.path, "/big/", rest)) {
    size_t left = strtoul(rest.c_str(), nullptr, 10);
    if (!c.send("HTTP/1.1 200 OK\r\nContent-Length: " + rest + "\r\n\r\n")) return false;
    for (const std::string piece(65536, 'b'); left > 0; left -= std::min(left, piece.size()))
      if (!c.send(piece.substr(0, std::min(left, piece.size())))) return false;
    return true;
  }
  if (c.path == "/crash") _exit(3);
  if (after(c.path, "/crash-if/", rest)) {
    if (rest == host()) _exit(3);
    return c.answer("200 OK", host());
  }
  if (c.path == "/drop-first") return dropped++ > 0 && c.answer("200 OK", "second\n");
  if (c.path == "/drop-body") {  // takes a little of the body and goes
    c.piece();
    return false;
  }
  if (c.path == "/upgrade") {
    if (!c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello "))
      return false;
    do {
      if (!c.send(c.buffer)) return false;
      c.buffer.clear();
    } while (c.fill());
    return false;
  }
  if (c.path == "/unasked") return c.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
  if (c.path == "/interim") {
    if (!c.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")) return false;
    return c.answer("200 OK", "after\n");
  }
  if (c.path == "/short") {
    c.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    return false;
  }
  if (c.path == "/long") return c.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfive!and more");
  if (c.path == "/until-close") {
    c.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    return false;
  }
  if (c.path == "/early") {  // answers without reading the body
    c.answer("413 Content Too Large", "too large\n");
    shutdown(c.fd, SHUT_WR);
    while (c.fill()) c.buffer.clear();
    return false;
  }
  if (c.path == "/garbage") {
    c.send("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    return false;
  }
  if (c.path == "/never") return c.fill();  // no answer; ends when the other side does
  if (c.path == "/204") return c.send("HTTP/1.1 204 No Content\r\nX-Kept: yes\r\n\r\n");
  if (c.path == "/304") return c.send("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
  if (c.path == "/chunked") {
    if (c.head.rfind("HEAD", 0) == 0) return c.send(chunked);
    return c.send(chunked) && c.chunk("one ") && c.chunk("two") && c.send("0\r\n\r\n");
  }
  if (c.path == "/sized" && c.head.rfind("HEAD", 0) == 0)
    return c.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
  return c.answer("404 Not Found", "no such path\n");
}

void* run(void* argument) {
  Connection connection(*static_cast<int*>(argument));
  delete static_cast<int*>(argument);
  while (connection.read_head() && serve(connection)) {
  }
  close(connection.fd);
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "crash") return 7;
  if (mode == "silent")
    for (;;) pause();
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  address.sin_port = htons(static_cast<uint16_t>(atoi(environment("PORT").c_str())));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 128) != 0)
    return 9;
  for (;;) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) continue;
    pthread_t thread;
    if (pthread_create(&thread, nullptr, run, new int(fd)) == 0) pthread_detach(thread);
  }
}
