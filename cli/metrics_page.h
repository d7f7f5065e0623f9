#pragma once

#include <string>

#include "registry/server/registry_metrics.h"

namespace kiln::cli {

// What `kiln serve` answers at /metrics: the registry's figures and the process's, in Prometheus' text
// format.
std::string metrics_page(const registry::RegistryMetrics& registry, size_t events_waiting);

}  // namespace kiln::cli
