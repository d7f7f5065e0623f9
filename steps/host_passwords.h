#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"

namespace kiln::steps {

// The passwords and tokens in a registry configuration (Docker's config.json, old or new); none in what is
// not JSON.
std::vector<std::string> passwords_in(std::string_view registry_configuration);

// Those in the files where this machine's user keeps credentials, which `image: kiln` steps work with: for
// registries as registry::CredentialFiles finds them, and git's credential store. What cannot be read is
// passed over.
std::vector<std::string> host_passwords(const Environment& environment);

}  // namespace kiln::steps
