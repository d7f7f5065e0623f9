#pragma once

#include <string>

#include "registry/copy/copy.h"

namespace kiln::cli {

class Context;

struct CopyRequest {
  registry::ImagePlace source, target;
  registry::CopyOptions options{};
  std::string verb = "copied";  // of what is said at the end
  std::string output{};         // "json": the result as a document
};

// Copies with progress, says what moved, and prints the document if asked for. Returns what the target has.
registry::Descriptor copy(Context& context, CopyRequest request);

}  // namespace kiln::cli
