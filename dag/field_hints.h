#pragma once

#include <string>
#include <string_view>

#include "dag/yaml.h"

// What was probably meant by a node of another kind than its field takes. Hints are "" where nothing is
// known.
namespace kiln::dag {

// "a list", "a number": what a node is to YAML, for messages.
std::string_view name_of(const Node& node);

// Where field `key` takes a list, and found something else.
std::string list_hint(std::string_view key, const Node& node);
// Where a mapping is wanted.
std::string mapping_hint(const Node& node);
// Where a string is wanted, and a list or a mapping found.
std::string string_hint(const Node& node);
// `name:value` is one word to YAML.
std::string missing_space_hint(std::string_view word);

}  // namespace kiln::dag
