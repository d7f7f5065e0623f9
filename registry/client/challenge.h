#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::registry {

// One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1): scheme and parameters, names in lower case.
struct Challenge {
  std::string scheme;  // lower case
  std::map<std::string, std::string> parameters;
};

// All challenges of one header value; what is malformed is left out.
std::vector<Challenge> parse_challenges(std::string_view header);

}  // namespace kiln::registry
