// Which revision a request goes to: the part of Serving that knows hosts, tags and percentages.
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "serving/serving.h"

namespace kiln::serving {

void Serving::rebuild_routes(const ServiceRecord& service) {
  std::vector<Target> targets;
  std::set<std::string> routed;
  for (const TrafficTarget& wanted : service.spec.traffic) {
    Target target{wanted.latest ? service.latest_ready : wanted.revision, wanted.percent, wanted.tag};
    if (target.revision.empty()) continue;
    const auto record = records_.revision(service.spec.name_space, target.revision);
    if (!record || record->state != RevisionState::Ready) continue;
    routed.insert(target.revision);
    targets.push_back(std::move(target));
  }
  routes_[{service.spec.name_space, service.spec.name}] = std::move(targets);
  for (const auto& record : records_.revisions(service.spec.name_space, service.spec.name)) {
    const auto running = revisions_.find({record.name_space, record.name});
    if (running == revisions_.end() || record.state != RevisionState::Ready) continue;
    if (routed.contains(record.name))
      running->second->revive();
    else
      running->second->retire();
  }
}

namespace {

// "hello.default.localhost" → {"hello", "default"} when the rest is the domain.
std::optional<std::pair<std::string, std::string>> split_host(std::string_view host,
                                                              std::string_view domain) {
  const size_t first = host.find('.');
  if (first == std::string_view::npos || first == 0) return std::nullopt;
  const size_t second = host.find('.', first + 1);
  if (second == std::string_view::npos || !iequals(host.substr(second + 1), domain)) return std::nullopt;
  return std::pair(to_lower(host.substr(0, first)), to_lower(host.substr(first + 1, second - first - 1)));
}

}  // namespace

bool Serving::is_service_host(std::string_view host) const {
  return split_host(host, options_.domain).has_value();
}

// Namespace and name of the revision that a request for `host` goes to.
Serving::Key Serving::choose(std::string_view host) {
  const auto parts = split_host(host, options_.domain);
  if (!parts) throw Error(ErrorKind::NotFound, "no service at " + std::string(host));
  const auto& [label, name_space] = *parts;
  if (const auto exact = routes_.find({name_space, label}); exact != routes_.end()) {
    const Target* chosen = nullptr;
    int roll = static_cast<int>((dice_ = dice_ * 1664525u + 1013904223u) >> 16) % 100;
    for (const Target& target : exact->second) {
      if (target.percent <= 0) continue;
      chosen = &target;
      if ((roll -= target.percent) < 0) break;
    }
    if (chosen) return {name_space, chosen->revision};
    throw Error(ErrorKind::Unavailable, "service " + label + " has no ready revision",
                "`kiln service describe " + label + "` says why");
  }
  // "<tag>-<service>": either part may hold dashes itself.
  for (size_t dash = label.find('-'); dash != std::string::npos; dash = label.find('-', dash + 1)) {
    const auto tagged = routes_.find({name_space, label.substr(dash + 1)});
    if (tagged == routes_.end()) continue;
    for (const Target& target : tagged->second)
      if (target.tag == label.substr(0, dash)) return {name_space, target.revision};
  }
  throw Error(ErrorKind::NotFound, "there is no service \"" + label + "\" in namespace " + name_space,
              "`kiln service list` shows what there is");
}

}  // namespace kiln::serving
