#pragma once

#include "base/error.h"

namespace kiln::registry {

// Store::update() refused changes because index.json would become larger than can be read again (64 MiB).
// Nothing was written.
struct IndexFull : Error {
  using Error::Error;
};

}  // namespace kiln::registry
