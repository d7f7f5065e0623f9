#include "base/time_zone.h"
#include "dag/cel/function.h"

namespace kiln::cel {
namespace {

class MachineTimeZones final : public TimeZones {
 public:
  std::optional<int64_t> offset(std::string_view name, int64_t second) const override {
    const auto zone = find_time_zone(name);
    return zone ? std::optional(zone->offset_at(second)) : std::nullopt;
  }
};

}  // namespace

const TimeZones& machine_time_zones() {
  static const MachineTimeZones zones;
  return zones;
}

}  // namespace kiln::cel
