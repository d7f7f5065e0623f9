#include "cli/output.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace kiln::cli {

std::string json_text(const nlohmann::json& value) {
  return value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

CLI::Option& add_output_option(CLI::App& verb, std::string& output,
                               std::initializer_list<const char*> formats, const std::string& description) {
  const std::vector<std::string> words(formats.begin(), formats.end());
  return *verb.add_option("-o,--output", output, description.empty() ? join(words, " or ") : description)
              ->check(CLI::IsMember(words));
}

}  // namespace kiln::cli
