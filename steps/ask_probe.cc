#include "steps/ask_probe.h"

#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "steps/network_namespace.h"

namespace kiln::steps {
namespace {

using Steady = std::chrono::steady_clock;

// One TCP connection to the pod's own address, with a moment when it is enough.
class Connection {
 public:
  Connection(const Probe& probe, int network, const std::stop_token& stop)
      : probe_(probe),
        end_(Steady::now() + probe.timeout),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        on_stop_(stop, [this] { ::eventfd_write(wake_.get(), 1); }),
        socket_(socket_in(network)) {}

  bool connect() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(probe_.port);
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return true;
    if (errno != EINPROGRESS) return refuse(errno);
    if (!wait(POLLOUT)) return false;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    return error == 0 || refuse(error);
  }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0)
        bytes.remove_prefix(static_cast<size_t>(n));
      else if (errno != EAGAIN && errno != EINTR)
        return refuse(errno);
      else if (!wait(POLLOUT))
        return false;
    }
    return true;
  }
  // What comes first: at least "HTTP/1.1 200", unless the other side ends.
  bool receive(std::string& answer) {
    constexpr size_t kEnough = 12;
    char buffer[256];
    while (answer.size() < kEnough) {
      const ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
      if (n == 0) return true;
      if (n > 0)
        answer.append(buffer, static_cast<size_t>(n));
      else if (errno != EAGAIN && errno != EINTR)
        return refuse(errno);
      else if (!wait(POLLIN))
        return false;
    }
    return true;
  }
  const std::string& problem() const { return problem_; }

 private:
  bool refuse(int error) {
    problem_ = "port " + std::to_string(probe_.port) + ": " + std::generic_category().message(error);
    return false;
  }
  bool wait(short events) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end_ - Steady::now()).count();
    pollfd fds[] = {{socket_.get(), events, 0}, {wake_.get(), POLLIN, 0}};
    if (left <= 0 || ::poll(fds, 2, static_cast<int>(std::min<int64_t>(left, 1 << 30))) == 0)
      return refuse(ETIMEDOUT);
    return fds[1].revents == 0 || refuse(ECANCELED);
  }

  const Probe& probe_;
  const Steady::time_point end_;
  UniqueFd wake_;
  std::stop_callback<std::function<void()>> on_stop_;
  UniqueFd socket_;
  std::string problem_;
};

// RFC 9112: the status line says it all.
std::string status_problem(const Probe& probe, const std::string& answer) {
  int status = 0;
  if (answer.starts_with("HTTP/1.") && answer.size() >= 12)
    std::from_chars(answer.data() + 9, answer.data() + 12, status);
  if (status >= 200 && status < 400) return {};
  const std::string what = "GET " + probe.path + " on port " + std::to_string(probe.port);
  return status == 0 ? what + " was answered with no HTTP" : what + ": status " + std::to_string(status);
}

std::string ask_port(const Probe& probe, int network, const std::stop_token& stop) {
  Connection connection(probe, network, stop);
  if (!connection.connect()) return connection.problem();
  if (probe.kind == Probe::Kind::TcpSocket) return {};
  const std::string request = "GET " + probe.path +
                              " HTTP/1.1\r\nHost: localhost:" + std::to_string(probe.port) +
                              "\r\nUser-Agent: kube-probe/kiln\r\nAccept: */*\r\nConnection: close\r\n\r\n";
  std::string answer;
  if (!connection.send(request) || !connection.receive(answer)) return connection.problem();
  return status_problem(probe, answer);
}

}  // namespace

std::string ask(const Probe& probe, Sandbox& sandbox, int network, const std::stop_token& stop) {
  if (probe.kind != Probe::Kind::Exec) return ask_port(probe, network, stop);
  const std::optional<int> code = sandbox.exec(probe.command, probe.timeout);
  if (!code) return "no answer within " + format_seconds(seconds(probe.timeout));
  if (*code != 0) return join(probe.command, " ") + " exited with code " + std::to_string(*code);
  return {};
}

}  // namespace kiln::steps
