// Any text against a fixed set of variables. Values hold no "$(", so what comes out has no more variables
// that are known: a second pass changes nothing.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dag/substitution.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln::dag;
  static const Variables variables = [] {
    Variables out;
    out.set("params", "x", ParamValue::string("X"));
    out.set("params", "a", ParamValue::array({"1", "2"}));
    out.set("params", "o", ParamValue::object({{"k", "v"}}));
    return out;
  }();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  size_t last = 0;
  for (const Variable& variable : find_variables(text)) {
    if (variable.begin < last || variable.end <= variable.begin || variable.end > text.size()) std::abort();
    if (text.substr(variable.begin, 2) != "$(" || text[variable.end - 1] != ')') std::abort();
    last = variable.end;
  }
  const std::string once = substitute(text, variables);
  if (!may_have_variables(text) && once != text) std::abort();
  (void)substitute_list({{std::string(text), {}}}, variables);
  (void)to_text(substitute_value(ParamValue::string(std::string(text)), variables));
  return 0;
}
