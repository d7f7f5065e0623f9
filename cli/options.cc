#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "base/toml.h"
#include "registry/image_aliases.h"

namespace kiln::cli {
namespace {

std::string variable_of(std::string name) {
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return "KILN_" + name;
}

// What the environment says already, stays.
void set_default(const std::string& name, const nlohmann::json& value) {
  ::setenv(variable_of(name).c_str(),
           value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str(), 0);
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

namespace {

std::string did_you_mean(std::string_view name, const std::vector<std::string>& names,
                         std::string otherwise) {
  const auto near = nearest(name, names);
  return near ? "did you mean `" + *near + "`?" : otherwise;
}

void add_flag_names(const CLI::App& app, std::vector<std::string>& names) {
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    add_flag_names(*verb, names);
}

}  // namespace

Error usage_error(const CLI::App& app, const CLI::ParseError& problem) {
  const CLI::App* verb = &app;
  std::string words = app.get_name();
  while (!verb->get_subcommands().empty()) {
    verb = verb->get_subcommands().front();
    words += " " + verb->get_name();
  }
  const std::string help = "`" + words + " --help` shows what there is";
  std::vector<std::string> verbs;
  for (const CLI::App* one : verb->get_subcommands([](const CLI::App*) { return true; }))
    verbs.push_back(one->get_name());
  const std::vector<std::string> rest = app.remaining(true);
  const auto unknown =
      std::ranges::find_if(rest, [](const std::string& word) { return !word.starts_with("-"); });
  if (!verbs.empty() && unknown != rest.end())
    return {ErrorKind::Usage, "there is no `" + words + " " + *unknown + "`",
            did_you_mean(*unknown, verbs, help)};
  if (!rest.empty() && rest.front().starts_with("-")) {
    std::vector<std::string> flags;
    for (const CLI::App* one = verb; one != nullptr; one = one->get_parent())
      for (const CLI::Option* option : one->get_options())
        for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    const std::string flag = rest.front().substr(0, rest.front().find('='));
    return {ErrorKind::Usage, "`" + words + "` has no flag " + flag, did_you_mean(flag, flags, help)};
  }
  if (!verbs.empty()) return {ErrorKind::Usage, "`" + words + "` needs to be told what to do", help};
  return {ErrorKind::Usage, problem.what(), help};
}

void check_setting_names(const CLI::App& app, const nlohmann::json& settings, const fs::path& file) {
  std::vector<std::string> names{"images", "registry"};
  add_flag_names(app, names);
  for (const auto& [name, value] : settings.items())
    if (std::ranges::find(names, name) == names.end())
      throw Error(
          ErrorKind::Invalid, file.string() + ": there is no setting \"" + name + "\"",
          did_you_mean(name, names, "settings are called as the flags of `kiln VERB --help`, without --"));
}

std::pair<std::string, std::string> split_pair(const std::string& flag, const std::string& pair) {
  const size_t equals = pair.find('=');
  if (equals == std::string::npos || equals == 0)
    throw Error(ErrorKind::Usage, flag + " " + pair + " has no value", "write " + flag + " name=value");
  return {pair.substr(0, equals), pair.substr(equals + 1)};
}

namespace {

nlohmann::json read_settings(const fs::path& file) {
  if (!fs::exists(file)) return nlohmann::json::object();
  return parse_toml(read_file(file, 1 << 20), file.string());
}

// Whether `word` gives it: --param, --param=a=1, -p, -pa=1.
bool is_given(const CLI::Option& option, const std::string& word) {
  return std::ranges::any_of(option.get_lnames(),
                             [&](const std::string& name) {
                               return word == "--" + name || word.starts_with("--" + name + "=");
                             }) ||
         std::ranges::any_of(option.get_snames(),
                             [&](const std::string& name) { return word.starts_with("-" + name); });
}

void set_defaults(const nlohmann::json& settings) {
  for (const auto& [name, value] : settings.items())
    if (!value.is_structured()) set_default(name, value);
}

}  // namespace

nlohmann::json load_settings(const fs::path& file) {
  nlohmann::json settings = read_settings(file);
  set_defaults(settings);
  return settings;
}

nlohmann::json load_project_settings(const fs::path& file) {
  constexpr std::string_view kOfProjects[] = {
      "images", "jobs",   "param",   "pipeline",  "progress",        "builder",
      "tag",    "strict", "service", "namespace", "git-default-url", "git-default-revision"};
  nlohmann::json settings = read_settings(file);
  for (const auto& [name, value] : settings.items())
    if (std::ranges::find(kOfProjects, name) == std::end(kOfProjects))
      throw Error(ErrorKind::Invalid, file.string() + ": \"" + name + "\" is not for a project to set",
                  did_you_mean(name, {std::begin(kOfProjects), std::end(kOfProjects)},
                               "put it into your own config.toml, or give --" + name));
  set_defaults(settings);
  return settings;
}

void append_lists(const CLI::App& app, const nlohmann::json& settings, const fs::path& file,
                  std::vector<std::string>& words) {
  const auto end = std::ranges::find(words, "--");
  std::vector<const CLI::App*> verbs{&app};  // that were typed, outermost first
  for (auto word = words.begin(); word != end; ++word) {
    const auto named =
        verbs.back()->get_subcommands([&](const CLI::App* verb) { return verb->get_name() == *word; });
    verbs.insert(verbs.end(), named.begin(), named.end());
  }
  std::vector<std::string> more;
  for (const auto& [name, list] : settings.items()) {
    if (!list.is_array() || std::getenv(variable_of(name).c_str()) != nullptr) continue;
    for (const CLI::App* verb : verbs) {
      const CLI::Option* option = verb->get_option_no_throw("--" + name);
      if (option == nullptr) continue;
      if (option->get_items_expected_max() < 2)
        throw Error(ErrorKind::Invalid, file.string() + ": " + name + " is a list",
                    "--" + name + " takes one value");
      if (std::any_of(words.begin(), end, [&](const std::string& word) { return is_given(*option, word); }))
        break;
      for (const nlohmann::json& value : list)
        more.push_back("--" + name + "=" + (value.is_string() ? value.get<std::string>() : value.dump()));
      break;
    }
  }
  words.insert(end, more.begin(), more.end());
}

std::optional<std::string> root_of(const std::vector<std::string>& words) {
  constexpr std::string_view kFlag = "--root";
  for (size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    if (words[i] == kFlag && i + 1 < words.size()) return words[i + 1];
    if (words[i].starts_with(std::string(kFlag) + "=")) return words[i].substr(kFlag.size() + 1);
  }
  if (const char* root = std::getenv("KILN_ROOT")) return root;
  return std::nullopt;
}

void add_image_aliases(registry::ImageAliases& aliases, const nlohmann::json& settings,
                       const fs::path& file) {
  const auto table = settings.find("images");
  if (table == settings.end()) return;
  const auto refuse = [&](const std::string& problem) {
    throw Error(ErrorKind::Invalid, file.string() + ", [images]: " + problem,
                "a line there is \"name\" = \"other name\"");
  };
  if (!table->is_object()) refuse("it is no table");
  for (const auto& [name, target] : table->items()) {
    if (!target.is_string()) refuse("\"" + name + "\" is no text");
    try {
      aliases.add(name, target.get<std::string>());
    } catch (const Error& error) {
      refuse(error.message());
    }
  }
}

}  // namespace kiln::cli
