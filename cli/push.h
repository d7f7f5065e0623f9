#pragma once

#include <string>

#include "registry/reference.h"

namespace kiln::cli {

class Context;

// Pushes an image of the store and says what moved.
void push_image(Context& context, const std::string& name, const registry::Reference& target);

}  // namespace kiln::cli
