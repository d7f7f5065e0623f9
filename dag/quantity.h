#pragma once

#include <optional>
#include <string_view>

// resource.Quantity of Kubernetes: "500m", "1Gi".
namespace kiln::dag {

bool is_quantity(std::string_view text);

// Its value; nullopt for what is none, below zero or above 1e15, and for the units that nobody uses: n, u, E,
// Ei, and exponents.
std::optional<double> parse_quantity(std::string_view text);

}  // namespace kiln::dag
