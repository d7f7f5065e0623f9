#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace kiln::steps {

// How to ask a sidecar whether it is well: Kubernetes' Probe v1 core.
struct Probe {
  enum class Kind { Exec, HttpGet, TcpSocket, Grpc } kind = Kind::Exec;
  std::vector<std::string> command = {};  // Exec: success is exit code 0
  uint16_t port = 0;
  // Empty: the pod itself, by its loopback. Otherwise as this machine sees it, not the pod.
  std::string host = {};
  // HttpGet: success is a status of 200 to 399.
  std::string path = "/";
  bool https = false;  // whatever its certificate
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string service = {};  // Grpc: asked for by grpc.health.v1.Health/Check; success is SERVING
  Duration initial_delay{}, period = std::chrono::seconds(10), timeout = std::chrono::seconds(1);
  int success_threshold = 1, failure_threshold = 3;
  // Startup, liveness: from SIGTERM to SIGKILL when it has failed. Not given: the pod's.
  std::optional<Duration> grace = {};
};

// What the answers to one probe add up to, and when to ask again. Pure.
//
// Kubernetes asks once a period, which would let a sidecar that is ready in 100 ms wait for ten seconds. So
// after a failure this asks more often, but such extra failures do not count: the sidecar has as many periods
// as on a cluster.
class ProbeCount {
 public:
  using Moment = std::chrono::steady_clock::time_point;
  enum class Verdict { Open, Passed, Failed };

  ProbeCount(const Probe& probe, Moment started) : probe_(probe), due_(started + probe.initial_delay) {}

  Moment due() const { return due_; }
  // The answer that came in at `now`. Failed and Passed are not final: a later answer may be asked for.
  Verdict take(bool success, Moment now);
  // Whether the last failure counted: the first one, and one a period.
  bool counted() const { return counted_; }

 private:
  const Probe& probe_;
  Moment due_;
  Moment period_start_ = Moment::min();
  Duration pause_{};
  int successes_ = 0, failures_ = 0;
  bool counted_ = false;
};

}  // namespace kiln::steps
