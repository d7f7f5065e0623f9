#pragma once

#include <vector>

#include "dag/container.h"

// How a step is put together of what the Task's stepTemplate, its StepAction and the run say. Used by
// resolve_task.cc only.
namespace kiln::dag {

// Puts the template under a step: what the step does not say itself. Maps and objects are merged field by
// field, `env`, `volumeMounts` and `volumeDevices` item by item, other lists are taken whole, as Kubernetes'
// strategic merge does. A template's command is not for a script.
void merge_template(Step& step, const Step& base);

// What `mine` does not say.
void merge_security(SecurityContext& mine, const SecurityContext& base);

// Variables of `over` take the place of those of the same name, at the end.
void override_env(std::vector<EnvVar>& env, const std::vector<EnvVar>& over);

}  // namespace kiln::dag
