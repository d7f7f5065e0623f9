#include "registry/server/registry_metrics.h"

#include <algorithm>
#include <cstdio>

namespace kiln::registry {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", value);
  return text;
}

std::string head(std::string_view name, std::string_view type, std::string_view help) {
  const std::string text(name);
  return "# HELP " + text + " " + std::string(help) + "\n# TYPE " + text + " " + std::string(type) + "\n";
}

}  // namespace

void RegistryMetrics::request_ended(std::string_view endpoint, std::string_view method, int status,
                                    Duration took) {
  --in_flight_;
  static constexpr std::array<std::string_view, 6> kMethods{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"};
  const std::string known(std::ranges::find(kMethods, method) == kMethods.end() ? "other" : method);
  const double length = seconds(took);
  std::lock_guard lock(mutex_);
  ++requests_[{std::string(endpoint), known, status}];
  Times& times = times_[{std::string(endpoint), known}];
  ++times.count;
  times.seconds += length;
  for (size_t i = 0; i < kBuckets.size(); ++i) times.within[i] += length <= kBuckets[i];
}

std::string RegistryMetrics::text() const {
  std::string out = metric_lines("kiln_registry_requests_in_flight", "gauge", "Requests being answered.",
                                 static_cast<double>(in_flight_.load())) +
                    metric_lines("kiln_registry_blob_sent_bytes_total", "counter", "Bytes of blobs sent.",
                                 static_cast<double>(sent_.load())) +
                    metric_lines("kiln_registry_blob_received_bytes_total", "counter",
                                 "Bytes of blobs received.", static_cast<double>(received_.load()));
  std::lock_guard lock(mutex_);
  out += head("kiln_registry_requests_total", "counter", "Requests answered.");
  for (const auto& [key, count] : requests_)
    out += "kiln_registry_requests_total{endpoint=\"" + std::get<0>(key) + "\",method=\"" + std::get<1>(key) +
           "\",code=\"" + std::to_string(std::get<2>(key)) + "\"} " + std::to_string(count) + "\n";
  const std::string name = "kiln_registry_request_duration_seconds";
  out += head(name, "histogram", "From a request's head to its answer's end.");
  for (const auto& [key, times] : times_) {
    const std::string labels = "endpoint=\"" + key.first + "\",method=\"" + key.second + "\"";
    for (size_t i = 0; i < kBuckets.size(); ++i)
      out += name + "_bucket{" + labels + ",le=\"" + number(kBuckets[i]) + "\"} " +
             std::to_string(times.within[i]) + "\n";
    out += name + "_bucket{" + labels + ",le=\"+Inf\"} " + std::to_string(times.count) + "\n" + name +
           "_sum{" + labels + "} " + number(times.seconds) + "\n" + name + "_count{" + labels + "} " +
           std::to_string(times.count) + "\n";
  }
  return out;
}

std::string metric_lines(std::string_view name, std::string_view type, std::string_view help, double value) {
  return head(name, type, help) + std::string(name) + " " + number(value) + "\n";
}

}  // namespace kiln::registry
