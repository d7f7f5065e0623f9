#include "steps/variables.h"

namespace kiln::steps {

std::string expand_variables(std::string_view text, const Variables& variables) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('$')) {
      out += '$';
      text.remove_prefix(1);
      continue;
    }
    const size_t close = text.starts_with('(') ? text.find(')') : std::string_view::npos;
    if (close == std::string_view::npos) {
      out += '$';
      continue;
    }
    const auto found = variables.find(text.substr(1, close - 1));
    if (found != variables.end())
      out += found->second;
    else
      out.append("$").append(text.substr(0, close + 1));
    text.remove_prefix(close + 1);
  }
  return out;
}

Variables expand_env(const std::vector<std::pair<std::string, std::string>>& env) {
  Variables variables;
  for (const auto& [name, value] : env) variables[name] = expand_variables(value, variables);
  return variables;
}

}  // namespace kiln::steps
