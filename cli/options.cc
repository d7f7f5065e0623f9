#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "base/toml.h"

namespace kiln::cli {
namespace {

std::string variable_of(std::string name) {
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return "KILN_" + name;
}

}  // namespace

void add_environment_names(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || option == app.get_help_ptr()) continue;
    option->envname(variable_of(option->get_lnames().front()));
  }
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) add_environment_names(*verb);
}

std::vector<std::string> arguments_of(int argc, char** argv) {
  std::vector<std::string> words;
  bool options = true;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    options = options && word != "--";
    if (options && word.size() > 3 && word.starts_with("--") && word.find('=') == word.size() - 1) {
      words.push_back(word.substr(0, word.size() - 1));
      words.emplace_back();
    } else {
      words.push_back(word);
    }
  }
  return words;
}

std::pair<std::string, std::string> split_pair(const std::string& flag, const std::string& pair) {
  const size_t equals = pair.find('=');
  if (equals == std::string::npos || equals == 0)
    throw Error(ErrorKind::Usage, flag + " " + pair + " has no value", "write " + flag + " name=value");
  return {pair.substr(0, equals), pair.substr(equals + 1)};
}

void load_settings(const fs::path& file) {
  if (!fs::exists(file)) return;
  const nlohmann::json settings = parse_toml(read_file(file, 1 << 20), file.string());
  for (const auto& [name, value] : settings.items()) {
    if (value.is_structured()) continue;
    ::setenv(variable_of(name).c_str(),
             value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str(), 0);
  }
}

}  // namespace kiln::cli
