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

size_t product_size(const std::vector<Param>& params) {
  size_t count = params.empty() ? 0 : 1;
  for (const Param& param : params) count *= param.value.items.size();
  return count;
}

// One of the product's combinations: the first param changes fastest.
Combination product_at(const std::vector<Param>& params, size_t index) {
  Combination out;
  for (const Param& param : params) {
    const std::vector<std::string>& items = param.value.items;
    out[param.name] = items[index % items.size()];
    index /= items.size();
  }
  return out;
}

void extend(Combination& combination, const std::vector<Combination>& includes) {
  for (const Combination& include : includes)
    if (agrees(combination, include))
      for (const auto& [name, value] : include) combination[name] = value;
}

std::vector<Combination> includes_of(const Matrix& matrix) {
  std::vector<Combination> out;
  for (const MatrixInclude& include : matrix.include) out.push_back(combination_of(include));
  return out;
}

std::vector<Param> params_of(const Combination& combination, const Matrix& matrix) {
  std::vector<Param> params;
  for (const auto& [name, value] : combination)
    params.push_back({{name, {}}, ParamValue::string(value), matrix.at});
  return params;
}

}  // namespace

std::vector<std::vector<Param>> combinations(const Matrix& matrix) {
  const std::vector<Combination> includes = includes_of(matrix);
  std::vector<Combination> made;
  if (matrix.params.empty()) {
    made = includes;
  } else {
    const size_t count = product_size(matrix.params);
    if (count == 0) return {};
    for (size_t i = 0; i < count; ++i) {
      made.push_back(product_at(matrix.params, i));
      extend(made.back(), includes);
    }
    for (const Combination& include : includes)
      if (!include.empty() && made.size() <= kMostCombinations &&
          std::ranges::none_of(made, [&](const Combination& c) { return shares_a_value(c, include); }))
        made.push_back(include);
  }
  std::vector<std::vector<Param>> out;
  out.reserve(made.size());
  for (const Combination& combination : made) out.push_back(params_of(combination, matrix));
  return out;
}

std::vector<Param> combination_at(const Matrix& matrix, size_t index) {
  if (index < product_size(matrix.params)) {
    Combination combination = product_at(matrix.params, index);
    extend(combination, includes_of(matrix));
    return params_of(combination, matrix);
  }
  std::vector<std::vector<Param>> all = combinations(matrix);
  return index < all.size() ? std::move(all[index]) : std::vector<Param>();
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
