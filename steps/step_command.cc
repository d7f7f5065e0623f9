#include "steps/step_command.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace kiln::steps {

std::string script_file(std::string_view script) {
  return script.starts_with("#!") ? std::string(script) : "#!/bin/sh\nset -e\n" + std::string(script);
}

std::vector<std::string> step_command(const StepSpec& step, const registry::ImageConfig& image,
                                      std::string_view script_path, const Variables& variables) {
  const auto expanded = [&](std::vector<std::string> words) {
    for (std::string& word : words) word = expand_variables(word, variables);
    return words;
  };
  const std::vector<std::string> args = expanded(step.args);
  std::vector<std::string> command;
  bool with_args = true;
  if (!script_path.empty()) {
    command = {std::string(script_path)};
  } else if (!step.command.empty()) {
    command = expanded(step.command);
  } else if (!image.entrypoint.empty()) {
    command = image.entrypoint;
    if (args.empty()) {
      command.insert(command.end(), image.cmd.begin(), image.cmd.end());
      with_args = false;
    }
  } else {
    command = image.cmd;
  }
  if (command.empty())
    throw Error(ErrorKind::Invalid,
                "step " + step.name + " has nothing to run: the image " + step.image +
                    " names neither ENTRYPOINT nor CMD",
                "give the step a `command` or a `script`");
  if (with_args) command.insert(command.end(), args.begin(), args.end());
  return command;
}

std::vector<std::string> step_env(const registry::ImageConfig& image,
                                  const std::vector<std::string>& host_network, const Variables& step,
                                  std::string_view home) {
  std::map<std::string, std::string> env{
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"HOME", std::string(home)}};
  for (const std::vector<std::string>* list : {&image.env, &host_network})
    for (const std::string& entry : *list)
      if (const size_t equals = entry.find('='); equals != std::string::npos && equals > 0)
        env[entry.substr(0, equals)] = entry.substr(equals + 1);
  for (const auto& [name, value] : step) env[name] = value;
  std::vector<std::string> list;
  for (const auto& [name, value] : env) list.push_back(name + "=" + value);
  return list;
}

namespace {

// Many a variable says which program to start or which file to believe (PATH, LD_PRELOAD, GIT_…,
// DOCKER_CONFIG).
bool is_harmless(std::string_view name) {
  constexpr std::string_view kNames[] = {"http_proxy", "https_proxy", "no_proxy", "source_date_epoch", "tz"};
  for (const std::string_view prefix : {"BP_", "BPE_", "BPL_"})
    if (name.starts_with(prefix)) return true;
  return std::ranges::find(kNames, to_lower(name)) != std::end(kNames);
}

}  // namespace

std::string kiln_step_problem(const StepSpec& step, const std::vector<std::string>& verbs) {
  const std::string what = "step " + step.name + " with `image: kiln` ";
  if (!step.script.empty()) return what + "cannot have a script: it runs kiln itself, with `args`";
  if (!step.command.empty() && step.command != std::vector<std::string>{"kiln"})
    return what + "can only have the command \"kiln\", not \"" + step.command[0] + "\"";
  for (const auto& [name, value] : step.env)
    if (!is_harmless(name))
      return what + "cannot have the variable " + name + ": it runs with your rights, and may have " +
             "buildpacks' variables (BP_…), proxies, SOURCE_DATE_EPOCH and TZ";
  if (step.args.empty()) return what + "needs `args` that begin with one of: " + join(verbs, ", ");
  if (std::find(verbs.begin(), verbs.end(), step.args[0]) == verbs.end())
    return what + "cannot run `kiln " + step.args[0] + "`; allowed are: " + join(verbs, ", ");
  return {};
}

}  // namespace kiln::steps
