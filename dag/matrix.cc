#include "dag/matrix.h"

#include <algorithm>
#include <map>

#include "dag/substitution.h"

namespace kiln::dag {
namespace {

using Combination = std::map<std::string, std::string>;

Combination combination_of(const MatrixInclude& include) {
  Combination out;
  for (const Param& param : include.params) out[param.name] = param.value.text;
  return out;
}

// No param that both have differs.
bool agrees(const Combination& combination, const Combination& include) {
  return std::ranges::all_of(include, [&](const auto& entry) {
    const auto found = combination.find(entry.first);
    return found == combination.end() || found->second == entry.second;
  });
}

bool shares_a_value(const Combination& combination, const Combination& include) {
  return std::ranges::any_of(include, [&](const auto& entry) {
    const auto found = combination.find(entry.first);
    return found != combination.end() && found->second == entry.second;
  });
}

std::vector<Combination> product(const std::vector<Param>& params) {
  size_t count = 1;
  for (const Param& param : params) count *= param.value.items.size();
  std::vector<Combination> out(count);
  size_t repeat = 1;  // how many combinations in a row have the same item: the first param changes fastest
  for (const Param& param : params) {
    const std::vector<std::string>& items = param.value.items;
    for (size_t i = 0; i < count; ++i) out[i][param.name] = items[i / repeat % items.size()];
    repeat *= items.size();
  }
  return out;
}

}  // namespace

std::vector<std::vector<Param>> combinations(const Matrix& matrix) {
  std::vector<Combination> includes, made;
  for (const MatrixInclude& include : matrix.include) includes.push_back(combination_of(include));
  if (matrix.params.empty()) {
    made = includes;
  } else {
    made = product(matrix.params);
    if (made.empty()) return {};
    for (Combination& combination : made)
      for (const Combination& include : includes)
        if (agrees(combination, include))
          for (const auto& [name, value] : include) combination[name] = value;
    for (const Combination& include : includes)
      if (!include.empty() && made.size() <= kMostCombinations &&
          std::ranges::none_of(made, [&](const Combination& c) { return shares_a_value(c, include); }))
        made.push_back(include);
  }
  std::vector<std::vector<Param>> out;
  out.reserve(made.size());
  for (const Combination& combination : made) {
    std::vector<Param>& params = out.emplace_back();
    for (const auto& [name, value] : combination)
      params.push_back({{name, {}}, ParamValue::string(value), matrix.at});
  }
  return out;
}

std::optional<size_t> count_combinations(const Matrix& matrix) {
  size_t count = 1;
  for (const Param& param : matrix.params) {
    if (param.value.type != ParamType::Array) return std::nullopt;
    for (const std::string& item : param.value.items)
      if (item.starts_with("$(") && item.ends_with("[*])")) return std::nullopt;
    count *= param.value.items.size();
    if (count > kMostCombinations) return count;
  }
  return matrix.params.empty() ? matrix.include.size() : count == 0 ? 0 : combinations(matrix).size();
}

}  // namespace kiln::dag
