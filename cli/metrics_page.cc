#include "cli/metrics_page.h"

#include <sstream>
#include <sys/times.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::cli {
namespace {

// Names and meanings are those of Prometheus' client libraries.
std::string process_lines() {
  std::string out;
  long size = 0, resident = 0;
  std::istringstream(read_file("/proc/self/statm", 4096)) >> size >> resident;
  out += registry::metric_lines("process_resident_memory_bytes", "gauge", "Resident memory.",
                                static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  tms used{};
  ::times(&used);
  out += registry::metric_lines(
      "process_cpu_seconds_total", "counter", "User and system time.",
      static_cast<double>(used.tms_utime + used.tms_stime) / static_cast<double>(::sysconf(_SC_CLK_TCK)));
  std::error_code none;
  const auto open = std::distance(fs::directory_iterator("/proc/self/fd", none), fs::directory_iterator());
  out += registry::metric_lines("process_open_fds", "gauge", "Open file descriptors.",
                                static_cast<double>(open));
  return out;
}

}  // namespace

std::string metrics_page(const registry::RegistryMetrics& registry, size_t events_waiting) {
  std::string out =
      registry.text() + registry::metric_lines("kiln_registry_events_waiting", "gauge",
                                               "Events that their receivers have not taken yet.",
                                               static_cast<double>(events_waiting));
  try {
    out += process_lines();
  } catch (const Error&) {  // no /proc: the rest is still worth having
  }
  return out;
}

}  // namespace kiln::cli
