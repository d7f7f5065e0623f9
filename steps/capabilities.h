#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// capabilities(7) by name, as a container's securityContext gives them.
namespace kiln::steps {

// "CAP_CHOWN"; empty for a bit without a name.
std::string capability_name(unsigned bit);

// What a root step keeps: the default set less `drop` and more `add`, names with or without "CAP_", or "ALL".
// Throws Invalid for an unknown name, and for one to add that is not in the default set unless `any` allows
// it.
uint64_t capability_mask(const std::vector<std::string>& add, const std::vector<std::string>& drop, bool any);

}  // namespace kiln::steps
