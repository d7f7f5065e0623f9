#pragma once

#include <string_view>

// The words of the API, and the words that people write for them.
namespace kiln::dag {

// Whether any object that is decoded here has a field of this name, in any case of letters. One that has not
// is a slip, whatever mapping it stands in.
bool is_field_name(std::string_view name);

// Whether `written`, which is no field's name, was meant as `field`: a typing slip, or the word that another
// tool has for it (`cmd`, `depends_on`, `parameters`).
bool stands_for(std::string_view written, std::string_view field);

}  // namespace kiln::dag
