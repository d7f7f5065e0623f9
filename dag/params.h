#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dag/model.h"
#include "dag/substitution.h"

namespace kiln::dag {

// Gives every declared param its value: the given one (an object merged with its default key by key), else
// its default, in which other params may be referred to (at most 10 deep). Params that have neither are
// left out. Given values that nobody declared are kept. `on_cycle` hears of defaults that refer to
// themselves.
std::vector<Param> evaluate_params(const std::vector<ParamSpec>& specs, const std::vector<Param>& given,
                                   const Variables& outer = {},
                                   const std::function<void(const ParamSpec&)>& on_cycle = {});

// A `-p` value as the declared type reads it: arrays from JSON or commas, objects from JSON or "key:value"
// pairs. nullopt when it is neither.
std::optional<ParamValue> parse_param_flag(ParamType type, std::string_view text);

// A JSON list or object of scalars; nullopt for anything else.
std::optional<ParamValue> value_from_json(ParamType type, std::string_view text);

void set_params(Variables& variables, const std::vector<Param>& params);

}  // namespace kiln::dag
