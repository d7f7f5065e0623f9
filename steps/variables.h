#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kiln::steps {

using Variables = std::map<std::string, std::string, std::less<>>;

// `$(NAME)` becomes the variable's value; an unknown one stays as it is; `$$` is one `$`, so `$$(NAME)`
// escapes. As Kubernetes does for a container's command, args and env. One pass: values are not expanded
// again.
std::string expand_variables(std::string_view text, const Variables& variables);

// The values of an env list, in order: each may refer to those before it. A name given twice: the last wins.
Variables expand_env(const std::vector<std::pair<std::string, std::string>>& env);

}  // namespace kiln::steps
