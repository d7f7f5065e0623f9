#pragma once

#include <stop_token>

#include "steps/network_namespace.h"

namespace kiln::steps {

// A way from a pod's own network to the networks of this machine, but not to its loopback: pasta(1), where
// that is installed. It ends with this object, and with this process however that ends.
class Egress {
 public:
  static bool is_available();
  // When it returns, connections can be made. `network` must outlive the call only. Throws Infrastructure
  // with what pasta says, or when it says nothing for 10 s; Cancelled.
  explicit Egress(const NetworkNamespace& network, const std::stop_token& stop = {});
  ~Egress();
  Egress(const Egress&) = delete;
  Egress& operator=(const Egress&) = delete;

 private:
  void end();

  UniqueFd lifeline_;
  int guard_ = -1;  // the process id of what ends pasta once the lifeline is closed
};

}  // namespace kiln::steps
