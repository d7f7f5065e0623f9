#pragma once

#include <string>

#include "registry/copy/image_place.h"

namespace kiln::cli {

class Context;

// Pushes an image of the store, with all platforms it has there, and says what moved; `output` "json": as a
// document on stdout.
void push_image(Context& context, const std::string& name, const registry::ImagePlace& target,
                const std::string& output = {});

}  // namespace kiln::cli
