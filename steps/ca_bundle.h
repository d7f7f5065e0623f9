#pragma once

#include <filesystem>
#include <string>

namespace kiln::steps {

// The certificates of a PEM bundle that are not Mozilla's (as Debian's ca-certificates keeps them on this
// machine): a company's own, mostly none or one. Node has Mozilla's built in, and reads what
// NODE_EXTRA_CA_CERTS names at every start, which takes longer for a whole bundle than all else it does. The
// whole bundle where it cannot be told apart. Thread-safe; computed once per bundle and process.
std::string extra_certificates(const std::filesystem::path& bundle);

}  // namespace kiln::steps
