#pragma once

#include <optional>
#include <string>

#include "steps/ask_probe.h"
#include "steps/egress.h"
#include "steps/network_namespace.h"
#include "steps/step_world.h"

namespace kiln::steps {

// The network of one pod's containers: the host's, one for each, or one that they share.
class PodNetwork {
 public:
  // `together`: some run beside each other. Throws Infrastructure when what they share cannot be made. A stop
  // request ends the wait for a way out, which there is none then.
  PodNetwork(Network kind, bool together, const std::stop_token& stop);

  // Sandboxes that are described from now on are in it. It must outlive them.
  void join(StepWorld& world) const { world.set_network(shared_.network.get(), shared_.owner.get()); }
  // How sidecars are reached: by their sandboxes where this process may not enter the network.
  Dial dial() const;
  // Why a private network leads nowhere; empty where it leads somewhere, or is not meant to.
  const std::string& no_way_out() const { return no_way_out_; }

 private:
  NetworkNamespace shared_;  // empty: none is shared
  std::optional<Egress> egress_;
  std::string no_way_out_;
};

}  // namespace kiln::steps
