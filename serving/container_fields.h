#pragma once

#include "serving/fields.h"
#include "serving/service_spec.h"

namespace kiln::serving {

// Reads and checks a revision template's spec (its one container) and its autoscaling annotations: the one
// place that knows these fields, for ServiceSpec::parse and ContainerSettings::of alike.
void read_container_settings(Fields& fields, const nlohmann::json& revision_template,
                             ContainerSettings& settings);

}  // namespace kiln::serving
