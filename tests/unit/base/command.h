#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/process.h"

namespace kiln {

inline Command command(std::vector<std::string> argv) {
  Command made;
  made.argv = std::move(argv);
  return made;
}

}  // namespace kiln
