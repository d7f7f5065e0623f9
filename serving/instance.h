#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/http_server.h"
#include "registry/images.h"
#include "registry/store/leases.h"
#include "serving/service_spec.h"
#include "steps/sandbox.h"

namespace kiln::serving {

// The instance went away, or refused, before it answered anything: the request, untouched, may go to another
// one.
struct InstanceGone : std::exception {
  explicit InstanceGone(bool was_reused = false) : reused(was_reused) {}
  bool reused;  // on a kept connection, which may just have been too old
  const char* what() const noexcept override { return "the instance closed the connection"; }
};

// What a new instance is made of: one revision's image and settings.
struct InstanceSpec {
  std::string service, configuration, revision;
  ContainerSettings settings;
  registry::Image image;
  std::vector<std::filesystem::path> lowers;
  std::shared_ptr<registry::Lease> lease;  // keeps image and layers while this is there
  std::filesystem::path log;               // both output streams are appended here
};

// One running copy of a revision: a sandbox with a network of its own, which the gateway dials into. Belongs
// to the server's I/O thread, except start(), which blocks.
class Instance {
 public:
  using Socket = asio::ip::tcp::socket;

  // Makes the sandbox. Throws as SandboxRuntime::start does, or Failed when the program cannot be run.
  static std::unique_ptr<Instance> start(const InstanceSpec& spec, steps::SandboxRuntime& runtime);
  ~Instance();

  // Waits until the port accepts connections: the default readiness probe of Knative. Throws Failed when the
  // process ends first (with its exit code), TimedOut after `deadline`, Cancelled after a stop request.
  Awaitable<void> until_ready(Duration deadline, std::stop_token stop);

  // A connection to the port: one kept from before, or a new one. Throws InstanceGone when there is none to
  // be had: the process has ended or does not accept.
  struct Connection {
    Socket socket;
    bool reused = false;
  };
  Awaitable<Connection> connect(bool allow_reused);
  void keep(Socket socket);  // after a complete answer on a connection that stays open

  // Resolves when the process has ended.
  Awaitable<steps::ExitStatus> until_ended();

  // SIGTERM, `grace`, SIGKILL; resolves when the process has ended.
  Awaitable<void> stop(Duration grace);

  int in_flight = 0;  // requests on their way through; kept by the revision

 private:
  Instance(std::unique_ptr<steps::Sandbox> sandbox, int port);
  Awaitable<Socket> dial();
  bool has_ended();

  std::unique_ptr<steps::Sandbox> sandbox_;
  int port_;
  std::optional<steps::ExitStatus> status_;
  std::vector<Socket> idle_;
};

// "Container failed with: exit code 3" or the signal's name, for conditions and errors.
std::string describe_exit(const steps::ExitStatus& status);

}  // namespace kiln::serving
