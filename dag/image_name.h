#pragma once

#include <string>
#include <string_view>

#include "dag/check_task.h"

namespace kiln::dag {

// Why no registry and no store can have an image of this name, in words that follow it; "" when one can. The
// grammar of the distribution-spec ("Pulling manifests"), as registry::Reference reads it: the two have to
// agree, which tests/unit/cli/image_name_test.cc holds them to. Variables have to be put in already.
std::string image_name_problem(std::string_view name);

// Reports such a name, of a step or a sidecar: Tekton takes it, and the pod then has InvalidImageName for
// ever. `written` is the text with its variables; one that still has some is known later.
void check_image_name(std::string_view name, const Text& written, Reporter& reporter);

}  // namespace kiln::dag
