#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "dag/compile.h"

namespace kiln::resolvers {

// The params of one reference. Names that a resolver does not know are ignored, as Tekton does; where one is
// missing, they are what the hint is made from.
class Params {
 public:
  explicit Params(const dag::RemoteRef& reference) : reference_(reference) {}

  bool has(const std::string& name) const { return reference_.params.contains(name); }
  // The value; `otherwise` when there is none or an empty one.
  std::string get(const std::string& name, std::string otherwise = {}) const;
  // Throws Invalid, naming all that are missing or empty.
  void require(std::initializer_list<std::string> names) const;

  const std::string& resolver() const { return reference_.resolver; }
  std::string kind() const;  // "task", "pipeline", "stepaction": of the reference itself

 private:
  const dag::RemoteRef& reference_;
};

}  // namespace kiln::resolvers
