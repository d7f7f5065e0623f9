#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/http_server.h"

namespace kiln::registry {

// docker-registry on a free loopback port, its data below a temporary folder; ended with the object.
class DockerRegistry {
 public:
  // PEM files: it speaks TLS.
  explicit DockerRegistry(std::string certificate = {}, std::string key = {})
      : certificate_(std::move(certificate)), key_(std::move(key)) {
    // It cannot be asked for a free port; take one, and try again if another program was quicker.
    for (int attempt = 0; attempt < 5 && pid_ < 0; ++attempt) {
      uint16_t port;
      {
        asio::io_context io;
        const asio::ip::tcp::acceptor probe(io, {asio::ip::make_address("127.0.0.1"), 0});
        port = probe.local_endpoint().port();
      }
      host_ = "127.0.0.1:" + std::to_string(port);
      start();
    }
  }
  ~DockerRegistry() { end(); }
  bool running() const { return pid_ > 0; }
  const std::string& host() const { return host_; }
  void end() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  void start() {
    const std::string config = (dir_.path() / "config.yml").string();
    write_file(config,
               "version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: " +
                   (dir_.path() / "data").string() + "}\n  delete: {enabled: true}\nhttp: {headers: {" +
                   kSign + ": [" + sign() + "]}, addr: " + host_ +
                   (key_.empty() ? "" : ", tls: {certificate: " + certificate_ + ", key: " + key_ + "}") +
                   "}\n");
    std::vector<std::string> arguments{"docker-registry", "serve", config};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, (dir_.path() / "log").c_str(), O_WRONLY | O_CREAT, 0644);
    if (::posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
    posix_spawn_file_actions_destroy(&actions);
    // The client's retries are the waiting: no timing of our own.
    HttpClient::Options options;
    options.tls.verify_peer = false;
    const HttpClient http(options);
    const std::string url = (key_.empty() ? "http://" : "https://") + host_ + "/v2/";
    for (int i = 0; pid_ > 0 && i < 2000; ++i) {
      try {
        const HttpResponse answer = http.get(url);
        if (answer.status == 200 && answer.headers.get(kSign) == sign()) return;
        end();  // another program has the port
      } catch (const Error&) {
        int status;
        if (::waitpid(pid_, &status, WNOHANG) == pid_)
          pid_ = -1;
        else
          ::poll(nullptr, 0, 5);
      }
    }
    end();
  }
  // What tells its answers from those of whoever was quicker to take the port.
  static constexpr const char* kSign = "X-Kiln-Test";
  std::string sign() const { return dir_.path().filename().native(); }

  const std::string certificate_, key_;
  TempDir dir_;
  pid_t pid_ = -1;
  std::string host_;
};

}  // namespace kiln::registry
