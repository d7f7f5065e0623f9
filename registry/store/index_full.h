#pragma once

#include "base/error.h"

namespace kiln::registry {

// Store::update() refused a change because index.json would become larger than can be read again (64 MiB).
// Nothing of it was written.
struct IndexFull : Error {
  using Error::Error;
};

}  // namespace kiln::registry
