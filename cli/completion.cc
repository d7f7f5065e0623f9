#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace kiln::cli {
namespace {

// Every command line prefix with the words that may follow it, one "kiln run:--param -p …" a line.
void collect(const CLI::App& app, const std::string& prefix,
             std::vector<std::pair<std::string, std::string>>& out) {
  std::string words;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    words += verb->get_name() + " ";
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
    for (const std::string& name : option->get_snames()) words += "-" + name + " ";
  }
  out.emplace_back(prefix, words);
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    collect(*verb, prefix + " " + verb->get_name(), out);
}

std::string bash_script(const CLI::App& app) {
  std::vector<std::pair<std::string, std::string>> entries;
  collect(app, "kiln", entries);
  std::string script =
      "_kiln() {\n  local word=${COMP_WORDS[COMP_CWORD]} verb=kiln i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case \"$verb ${COMP_WORDS[i]}\" in\n";
  for (const auto& [prefix, words] : entries)
    if (prefix != "kiln") script += "      '" + prefix + "') verb='" + prefix + "' ;;\n";
  script += "    esac\n  done\n  case $verb in\n";
  for (const auto& [prefix, words] : entries)
    script += "    '" + prefix + "') COMPREPLY=($(compgen -W '" + words + "' -- \"$word\")) ;;\n";
  script +=
      "  esac\n  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$word\"))\n}\ncomplete -o "
      "filenames -F _kiln kiln\n";
  return script;
}

}  // namespace

void add_completion(CLI::App& app, Context&) {
  auto shell = std::make_shared<std::string>();
  CLI::App* verb = app.add_subcommand("completion",
                                      "Print a completion script\n\n"
                                      "  source <(kiln completion bash)\n");
  verb->add_option("shell", *shell, "bash or zsh")->required();
  verb->callback([shell, &app] {
    if (*shell == "zsh")
      print("autoload -Uz bashcompinit && bashcompinit\n" + bash_script(app));
    else if (*shell == "bash")
      print(bash_script(app));
    else
      throw Error(ErrorKind::Usage, "there is no completion for " + *shell, "kiln completion bash, or zsh");
  });
}

}  // namespace kiln::cli
