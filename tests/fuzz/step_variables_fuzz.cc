// What a stranger's document and image say about a step: variables, users, scripts.
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "steps/step_command.h"
#include "steps/step_image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln::steps;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t half = size / 2;

  const Variables variables{{"A", "value"}, {"B", "$(A)"}, {"", "empty"}};
  const std::string once = expand_variables(input, variables);
  // Without a dollar there is nothing to do; and escaping every dollar gives the text back.
  if (input.find('$') == std::string_view::npos && once != input) std::abort();
  std::string escaped;
  for (const char c : input) escaped += c == '$' ? "$$" : std::string(1, c);
  if (expand_variables(escaped, variables) != input) std::abort();

  if (!script_file(input).starts_with("#!")) std::abort();
  try {
    resolve_user(input.substr(0, half), input.substr(half), input.substr(half));
  } catch (const kiln::Error&) {
  }
  return 0;
}
