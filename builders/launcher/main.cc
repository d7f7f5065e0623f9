// The launcher that every built image starts with (Buildpack specification, "Launch"): sets up the
// environment from the buildpacks' layers and becomes the chosen process.
//
//   /cnb/process/<type> [args…]     that process, with args in place of its own
//   launcher <type> [args…]         the same, when <type> is a process type
//   launcher <program> [args…]      any program, in the buildpacks' environment

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "builders/launcher/metadata.h"
#include "builders/layer_env.h"

extern char** environ;

namespace {

namespace fs = std::filesystem;
using kiln::builders::EnvMap;
using kiln::launcher::Metadata;
using kiln::launcher::Process;

// Exit codes 80–89 belong to the launch phase (Platform specification, "launcher").
constexpr int kLaunchError = 82;

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "launcher: %s\n", message.c_str());
  std::exit(kLaunchError);
}

EnvMap environment() {
  EnvMap env;
  for (char** entry = environ; *entry; ++entry)
    if (const char* equals = std::strchr(*entry, '='))
      env.emplace(std::string(*entry, static_cast<size_t>(equals - *entry)), equals + 1);
  return env;
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  return entries;
}

std::vector<fs::path> layers_of(const fs::path& buildpack) {
  std::vector<fs::path> layers;
  std::error_code error;
  for (const fs::path& entry : sorted_entries(buildpack))
    if (fs::is_directory(entry, error)) layers.push_back(entry);
  return layers;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> flatten(const EnvMap& env) {
  std::vector<std::string> out;
  for (const auto& [name, value] : env) out.push_back(name + "=" + value);
  return out;
}

// Runs one exec.d program: it writes TOML variables to file descriptor 3.
void run_exec_d(const fs::path& program, EnvMap& env) {
  int ends[2];
  if (::pipe(ends) != 0) fail("pipe: " + std::string(std::strerror(errno)));
  const pid_t child = ::fork();
  if (child < 0) fail("fork: " + std::string(std::strerror(errno)));
  if (child == 0) {
    if (ends[0] != 3) ::close(ends[0]);
    if (ends[1] != 3) {
      ::dup2(ends[1], 3);
      ::close(ends[1]);
    }
    const std::vector<std::string> args{program.string()}, variables = flatten(env);
    ::execve(program.c_str(), pointers(args).data(), pointers(variables).data());
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail(program.string() + " failed");
  std::string error;
  std::map<std::string, std::string> variables;
  if (!kiln::launcher::read_variables(text, variables, error)) fail(program.string() + ": " + error);
  for (const auto& [name, value] : variables) env[name] = value;
}

void run_exec_d_folder(const fs::path& folder, EnvMap& env) {
  std::error_code error;
  for (const fs::path& program : sorted_entries(folder))
    if (fs::is_regular_file(program, error)) run_exec_d(program, env);
}

void apply_layers(const Metadata& metadata, const fs::path& layers_dir, const std::string& type,
                  EnvMap& env) {
  for (const std::string& buildpack : metadata.buildpacks) {
    const std::vector<fs::path> layers = layers_of(layers_dir / buildpack);
    for (const fs::path& layer : layers) kiln::builders::apply_layer_root(env, layer, false);
    for (const fs::path& layer : layers) {
      kiln::builders::apply_env_folder(env, layer / "env");
      kiln::builders::apply_env_folder(env, layer / "env.launch");
      if (!type.empty()) kiln::builders::apply_env_folder(env, layer / "env.launch" / type);
    }
  }
  for (const std::string& buildpack : metadata.buildpacks)
    for (const fs::path& layer : layers_of(layers_dir / buildpack)) {
      run_exec_d_folder(layer / "exec.d", env);
      if (!type.empty()) run_exec_d_folder(layer / "exec.d" / type, env);
    }
}

std::string find_in_path(const std::string& program, const EnvMap& env) {
  if (program.find('/') != std::string::npos) return program;
  const auto path = env.find("PATH");
  std::string folders = path == env.end() ? "/usr/local/bin:/usr/bin:/bin" : path->second;
  for (size_t begin = 0; begin <= folders.size();) {
    const size_t end = std::min(folders.find(':', begin), folders.size());
    const std::string candidate = folders.substr(begin, end - begin) + "/" + program;
    std::error_code error;  // a folder is "executable", too
    if (fs::is_regular_file(candidate, error) && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  fail("\"" + program + "\" is not in PATH");
}

const Process* find_process(const Metadata& metadata, const std::string& type) {
  for (const Process& process : metadata.processes)
    if (process.type == type) return &process;
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  EnvMap env = environment();
  const auto setting = [&](const char* name, const char* fallback) {
    const auto found = env.find(name);
    return found == env.end() || found->second.empty() ? std::string(fallback) : found->second;
  };
  const fs::path layers_dir = setting("CNB_LAYERS_DIR", "/layers");
  const fs::path app_dir = setting("CNB_APP_DIR", "/workspace");
  Metadata metadata;
  std::string error;
  if (!kiln::launcher::read_metadata(layers_dir / "config" / "metadata.toml", metadata, error))
    fail("cannot read the image's process types: " + error);

  std::vector<std::string> arguments(argv + 1, argv + argc);
  const std::string called_as = fs::path(argv[0]).filename().string();
  const Process* process = find_process(metadata, called_as);
  if (!process && called_as == "launcher" && !arguments.empty()) {
    process = find_process(metadata, arguments.front());
    if (process) arguments.erase(arguments.begin());
  }
  if (!process && called_as != "launcher")
    fail("there is no process type \"" + called_as + "\" in this image");
  if (!process && arguments.empty()) fail("name a process type or a program to run");

  std::vector<std::string> command;
  if (process) {
    command = process->command;
    const std::vector<std::string>& rest = arguments.empty() ? process->args : arguments;
    command.insert(command.end(), rest.begin(), rest.end());
  } else {
    command = arguments;
  }

  for (const char* name :
       {"CNB_LAYERS_DIR", "CNB_APP_DIR", "CNB_PROCESS_TYPE", "CNB_PLATFORM_API", "CNB_DEPRECATION_MODE"})
    env.erase(name);
  apply_layers(metadata, layers_dir, process ? process->type : "", env);

  const fs::path cwd = process ? app_dir / process->working_dir : app_dir;  // an absolute one stands alone
  if (::chdir(cwd.c_str()) != 0) fail("cannot enter " + cwd.string() + ": " + std::strerror(errno));
  const std::string program = find_in_path(command.front(), env);
  const std::vector<std::string> variables = flatten(env);
  ::execve(program.c_str(), pointers(command).data(), pointers(variables).data());
  fail("cannot run " + program + ": " + std::strerror(errno));
}
