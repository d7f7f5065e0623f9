#include "resolvers/params.h"

#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace kiln::resolvers {

std::string Params::get(const std::string& name, std::string otherwise) const {
  const auto found = reference_.params.find(name);
  return found == reference_.params.end() || found->second.empty() ? std::move(otherwise) : found->second;
}

void Params::require(std::initializer_list<std::string> names) const {
  std::vector<std::string> missing;
  for (const std::string& name : names)
    if (get(name).empty()) missing.push_back(name);
  if (missing.empty()) return;
  // Names of params count with their case; "pathinrepo" is as unknown as "path".
  std::string hint;
  for (const auto& [given, value] : reference_.params)
    for (const std::string& name : missing)
      if (iequals(given, name) || nearest(given, std::span(&name, 1)))
        hint = "did you mean `" + name + "` where `" + given + "` is written?";
  throw Error(ErrorKind::Invalid,
              "missing required " + resolver() + " resolver params: " + join(missing, ", "), std::move(hint));
}

std::string Params::kind() const {
  return to_lower(reference_.kind);
}

}  // namespace kiln::resolvers
