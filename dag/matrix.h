#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "dag/model.h"

namespace kiln::dag {

inline constexpr size_t kMostCombinations = 256;

// The params of each TaskRun of a matrix: every combination of its params' items, the first param varying
// fastest, then what `include` adds: to the combinations that agree with it, else as new ones. Params of one
// combination are sorted by name. Empty when one of the params has no items. Every value has to be known:
// see resolve_matrix.
std::vector<std::vector<Param>> combinations(const Matrix& matrix);

// combinations(matrix)[index], without making the others if it can; empty past the end.
std::vector<Param> combination_at(const Matrix& matrix, size_t index);

// How many they are, without making them; nullopt when a param is not an array yet (a result, say). Never
// overflows: stops counting past kMostCombinations.
std::optional<size_t> count_combinations(const Matrix& matrix);

}  // namespace kiln::dag
