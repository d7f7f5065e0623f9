#include "steps/pod_network.h"

#include "base/error.h"

namespace kiln::steps {

// Steps that run one after the other may each have a network of their own; what runs beside them, or wants a
// way out, may not.
PodNetwork::PodNetwork(Network kind, bool together, const std::stop_token& stop) {
  const bool outward = kind == Network::Private && Egress::is_available();
  if (kind == Network::Private && !outward) no_way_out_ = "pasta is not installed (apt-get install passt)";
  if (kind == Network::Host || !(together || outward)) return;
  shared_ = make_network_namespace();
  if (!outward) return;
  try {
    egress_.emplace(shared_, stop);
  } catch (const Error& error) {
    no_way_out_ = error.full();
  }
}

Dial PodNetwork::dial() const {
  if (shared_.owner) return [](Sandbox& sandbox) { return sandbox.dial_socket(); };
  return [network = shared_.network.get()](Sandbox&) { return socket_in(network); };
}

}  // namespace kiln::steps
