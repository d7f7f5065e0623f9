#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace kiln::cli {
namespace {

// What may follow "kiln", "kiln runs", "kiln runs list", …
struct Prefix {
  std::string line, verbs, options;
};

void collect(const CLI::App& app, const std::string& line, std::vector<Prefix>& out) {
  Prefix prefix{.line = line, .verbs = {}, .options = {}};
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    prefix.verbs += verb->get_name() + " ";
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) prefix.options += "--" + name + " ";
    for (const std::string& name : option->get_snames()) prefix.options += "-" + name + " ";
  }
  out.push_back(std::move(prefix));
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    collect(*verb, line + " " + verb->get_name(), out);
}

// The words that the option takes, if it takes no others: IsMember says them as "TEXT:{one,two}".
std::string choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t open = type.find('{'), end = type.find('}');
  if (open == std::string::npos || end == std::string::npos || end < open) return {};
  return replace_all(type.substr(open + 1, end - open - 1), ",", " ");
}

// "kiln run --progress" with its words, one for each such option of each verb.
void collect_choices(const CLI::App& app, const std::string& prefix,
                     std::vector<std::pair<std::string, std::string>>& out) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string choices = choices_of(*option);
    if (choices.empty()) continue;
    for (const std::string& name : option->get_lnames()) out.emplace_back(prefix + " --" + name, choices);
    for (const std::string& name : option->get_snames()) out.emplace_back(prefix + " -" + name, choices);
  }
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    collect_choices(*verb, prefix + " " + verb->get_name(), out);
}

// What names of the store may follow, asked of kiln itself when the key is pressed.
constexpr std::string_view kNames =
    R"(_kiln_images() { kiln image list 2>/dev/null | awk 'NR > 1 { print $1 }'; }
_kiln_runs() { kiln runs list 2>/dev/null | awk 'NR > 1 { print $1 }'; }
_kiln_tasks() { kiln runs describe "$@" 2>/dev/null | awk '$1 == "TASK" { on = 1; next } on && NF { print $1 }'; }
)";

// Verbs with an argument of this name, as a pattern of bash: "'kiln logs'|'kiln shell'".
std::string verbs_of(const char* argument, const CLI::App& app, const std::string& prefix = "kiln") {
  const CLI::Option* option = app.get_option_no_throw(argument);
  std::string out = option && option->get_positional() ? "'" + prefix + "'" : "";
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string below = verbs_of(argument, *verb, prefix + " " + verb->get_name());
    out += (out.empty() || below.empty() ? "" : "|") + below;
  }
  return out;
}

std::string verbs_of_images(const CLI::App& app) {
  return verbs_of("image", app) + "|'kiln image copy'";
}

// The function _kiln of bash, and of zsh as ksh: what may stand at the cursor, in COMPREPLY; nothing where
// files may.
std::string shell_function(const CLI::App& app) {
  const std::string of_runs = verbs_of("run", app);
  std::vector<std::pair<std::string, std::string>> choices;
  std::vector<Prefix> entries;
  collect_choices(app, "kiln", choices);
  collect(app, "kiln", entries);
  std::string script(kNames);
  script +=
      "_kiln() {\n  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=kiln run= "
      "i whole=${COMP_LINE:0:$COMP_POINT} option=\n"
      "  [ \"$before\" != = ] || before=${COMP_WORDS[COMP_CWORD-2]}\n  [ \"$word\" != = ] || word=\n"
      "  case $word in\n"  // whole only where shells do not part words at the sign
      "    --*=*) before=${word%%=*} option=$before= word=${word#*=} ;;\n"
      "  esac\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case \"$verb ${COMP_WORDS[i]}\" in\n";
  for (const Prefix& entry : entries)
    if (entry.line != "kiln") script += "      '" + entry.line + "') verb='" + entry.line + "' ;;\n";
  script += "      " + replace_all(of_runs, "'|", " '*|") +
            "' '*) case ${COMP_WORDS[i]} in -*) ;; *) [ -n \"$run\" ] || run=${COMP_WORDS[i]} ;; esac ;;\n"
            "    esac\n  done\n"
            "  case \"$verb $before\" in\n";
  for (const auto& [option, words] : choices)
    script += "    '" + option + "') COMPREPLY=($(compgen -P \"$option\" -W '" + words +
              "' -- \"$word\")); return ;;\n";
  // Names hold colons, at which bash parts words: what stands before the last one is there already.
  script += "  esac\n  whole=${whole##* }\n  case $word in -*) ;; *) case $verb in " + verbs_of_images(app) +
            ")\n    COMPREPLY=($(compgen -W \"$(_kiln_images)\" -- \"$whole\"))\n"
            "    [ -n \"$ZSH_VERSION\" ] || COMPREPLY=(\"${COMPREPLY[@]#\"${whole%\"${whole##*:}\"}\"}\")\n"
            "    [ ${#COMPREPLY[@]} -eq 0 ] || return ;;\n"
            "  esac ;; esac\n"
            "  case $before in -t|--task) COMPREPLY=($(compgen -P \"$option\" -W \"$(_kiln_tasks $run)\" -- "
            "\"$word\")); return ;; esac\n"
            "  case $word in -*) ;; *) case $verb in " +
            of_runs +
            ")\n    if [ -z \"$run\" ]; then \n"
            "      [ \"$verb\" = 'kiln shell' ] && i=$(_kiln_tasks) || i=\n"
            "      COMPREPLY=($(compgen -W \"last $(_kiln_runs) $i\" -- \"$word\")); return; fi\n"
            "    if [ \"$verb\" = 'kiln shell' ]; then COMPREPLY=($(compgen -W \"$(_kiln_tasks $run)\" -- "
            "\"$word\")); return; fi ;;\n"
            "  'kiln graph') COMPREPLY=($(compgen -W \"last $(_kiln_runs)\" -- \"$word\"; "
            "compgen -f -- \"$word\")); return ;;\n"
            "  esac ;; esac\n"
            "  case $verb in\n";
  for (const Prefix& entry : entries)
    script += "    '" + entry.line + "') verb='" + entry.verbs + "' i='" + entry.options + "' ;;\n";
  return script +
         "  esac\n  case $word in -*) verb=$i ;; esac\n"
         "  COMPREPLY=($(compgen -W \"$verb\" -- \"$word\"))\n}\n";
}

std::string bash_script(const CLI::App& app) {
  return shell_function(app) +
         "_kiln_or_file() {\n  _kiln\n"
         "  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]#=}\"))\n}\n"
         "complete -o filenames -F _kiln_or_file kiln\n";
}

// The same function, its answers given to zsh's own completion, which knows files better. bashcompinit brings
// compgen; what it would do itself takes a slash in a name for a folder.
std::string zsh_script(const CLI::App& app) {
  return "autoload -Uz compinit bashcompinit\n(( $+functions[compdef] )) || compinit\nbashcompinit\n" +
         shell_function(app) +
         "_kiln_in_zsh() {\n"
         "  local COMP_LINE=\"${(j. .)words[1,CURRENT-1]} $PREFIX\" COMP_CWORD=$((CURRENT - 1)) COMP_POINT\n"
         "  local -a COMP_WORDS=(\"${words[@]}\") COMPREPLY\n"
         "  COMP_POINT=${#COMP_LINE}\n"
         "  () { emulate -L ksh; _kiln }\n"
         "  [ ${#COMPREPLY} -gt 0 ] && compadd -- \"${COMPREPLY[@]}\" || _files\n}\n"
         "compdef _kiln_in_zsh kiln\n";
}

// The verbs of a prefix as a test of fish: "kiln runs list" → __fish_seen_subcommand_from runs; … list.
std::string fish_condition(const std::string& prefix) {
  std::string out;
  const std::vector<std::string> verbs = split(prefix, ' ');
  for (size_t i = 1; i < verbs.size(); ++i)
    out += std::string(out.empty() ? "" : "; and ") + "__fish_seen_subcommand_from " + verbs[i];
  return out;
}

void fish_lines(const CLI::App& app, const std::string& prefix, std::string& script) {
  const std::string here = fish_condition(prefix);
  std::string verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    verbs += (verbs.empty() ? "" : " ") + verb->get_name();
  if (!verbs.empty()) {
    const std::string condition =
        here + (here.empty() ? "" : "; and ") + "not __fish_seen_subcommand_from " + verbs;
    script += "complete -c kiln -f -n '" + condition + "' -a '" + verbs + "'\n";
  }
  for (const CLI::Option* option : app.get_options()) {
    std::string names;
    for (const std::string& name : option->get_lnames()) names += " -l " + name;
    for (const std::string& name : option->get_snames()) names += " -s " + name;
    if (names.empty()) continue;
    const bool task = option->check_lname("task");
    const std::string choices = choices_of(*option);
    script += "complete -c kiln" + (here.empty() ? "" : " -n '" + here + "'") + names +
              (task                             ? " -x -a '(_kiln_tasks)'"
               : !choices.empty()               ? " -x -a '" + choices + "'"
               : option->get_expected_max() > 0 ? " -r"
                                                : "") +
              "\n";
  }
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    fish_lines(*verb, prefix + " " + verb->get_name(), script);
}

std::string fish_script(const CLI::App& app) {
  std::string script =
      "function _kiln_images; kiln image list 2>/dev/null | awk 'NR > 1 { print $1 }'; end\n"
      "function _kiln_runs; kiln runs list 2>/dev/null | awk 'NR > 1 { print $1 }'; end\n"
      "function _kiln_run\n"  // the run that the line names
      "  set -l runs last (_kiln_runs)\n"
      "  for word in (commandline -opc); contains -- $word $runs; and echo $word; and return 0; end\n"
      "  return 1\nend\n"
      "function _kiln_tasks; kiln runs describe (_kiln_run) 2>/dev/null | "
      "awk '$1 == \"TASK\" { on = 1; next } on && NF { print $1 }'; end\n";
  for (const std::string& verb : split(verbs_of("run", app), '|'))
    script += "complete -c kiln -f -n '" + fish_condition(verb.substr(1, verb.size() - 2)) +
              "; and not _kiln_run >/dev/null' -a 'last (_kiln_runs)'\n";
  script += "complete -c kiln -f -n '" + fish_condition("kiln shell") + "' -a '(_kiln_tasks)'\n";
  script += "complete -c kiln -n '" + fish_condition("kiln graph") + "' -a 'last (_kiln_runs)'\n";
  for (const std::string& verb : split(verbs_of_images(app), '|'))
    script +=
        "complete -c kiln -n '" + fish_condition(verb.substr(1, verb.size() - 2)) + "' -a '(_kiln_images)'\n";
  fish_lines(app, "kiln", script);
  return script;
}

}  // namespace

void add_completion(CLI::App& app, Context&) {
  auto shell = std::make_shared<std::string>();
  CLI::App* verb = app.add_subcommand("completion",
                                      "Print a completion script\n\n"
                                      "  source <(kiln completion bash)\n"
                                      "  kiln completion fish | source\n");
  verb->add_option("shell", *shell, "bash, zsh or fish")->required();
  verb->callback([shell, &app] {
    if (*shell == "zsh")
      print(zsh_script(app));
    else if (*shell == "bash")
      print(bash_script(app));
    else if (*shell == "fish")
      print(fish_script(app));
    else
      throw Error(ErrorKind::Usage, "there is no completion for " + *shell,
                  "kiln completion bash, zsh or fish");
  });
}

}  // namespace kiln::cli
