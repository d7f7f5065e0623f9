#include "cli/plan_input.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "cli/options.h"
#include "cli/terminal.h"

namespace kiln::cli {
namespace {

constexpr uint64_t kFileLimit = 64u << 20;

std::vector<std::string> expand(const std::string& path) {
  if (path == "-" || !fs::is_directory(path)) return {path};
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string extension = entry.path().extension().string();
    if (entry.is_regular_file() && (extension == ".yaml" || extension == ".yml" || extension == ".json"))
      files.push_back(entry.path().string());
  }
  if (files.empty())
    throw Error(ErrorKind::Usage, path + " holds no .yaml, .yml or .json file", "name the file itself");
  std::ranges::sort(files);
  return files;
}

void show(const Diagnostics& diagnostics, const std::map<std::string, std::string>& sources) {
  const std::string rendered = dag::render(diagnostics, sources);
  if (!rendered.empty()) say(std::string_view(rendered).substr(0, rendered.size() - 1));
}

void check_folder(const std::string& workspace, const std::string& folder) {
  std::error_code unseen;
  if (fs::is_directory(folder, unseen)) return;
  const bool is_there = fs::exists(folder, unseen);
  throw Error(
      ErrorKind::Usage,
      "-w " + workspace + ": " + (is_there ? folder + " is no folder" : "there is no folder " + folder),
      "check the path, or make the folder first; other kinds are emptyDir, claim=NAME, config=NAME and "
      "secret=NAME");
}

size_t count_errors(const Diagnostics& diagnostics) {
  return static_cast<size_t>(std::ranges::count(diagnostics, Severity::Error, &Diagnostic::severity));
}

[[noreturn]] void fail(ErrorKind kind, const Diagnostics& diagnostics) {
  const size_t errors = count_errors(diagnostics);
  throw Error(kind, std::to_string(errors) + (errors == 1 ? " error" : " errors") + "; nothing was run");
}

}  // namespace

void add_plan_options(CLI::App& verb, PlanInput& input) {
  verb.add_option("files", input.files, "YAML or JSON files or folders of them; - is standard input")
      ->required();
  verb.add_option("-p,--param", input.params, "NAME=VALUE; repeat for more")->allow_extra_args(false);
  verb.add_option("-w,--workspace", input.workspaces,
                  "NAME=DIR, NAME=emptyDir, NAME=claim=NAME, NAME=config=NAME or NAME=secret=NAME")
      ->allow_extra_args(false);
  verb.add_option("--pipeline", input.target, "What to run when the files hold several");
  add_remote_options(verb, input.remote);
}

dag::Documents load_documents(const std::vector<std::string>& paths, Diagnostics& diagnostics) {
  dag::Documents documents;
  for (const std::string& path : paths)
    for (const std::string& file : expand(path)) {
      std::string text;
      try {
        text =
            file == "-" ? read_all(STDIN_FILENO, kFileLimit, "standard input") : read_file(file, kFileLimit);
      } catch (const Error& error) {
        if (error.kind() == ErrorKind::NotFound)
          throw Error(ErrorKind::Usage, "there is no file " + file, "check the path");
        throw;
      }
      dag::load(documents, file == "-" ? "<stdin>" : file, std::move(text), diagnostics);
    }
  return documents;
}

dag::Plan compile_plan(const PlanInput& input, Context& context) {
  dag::RunRequest request;
  request.target = input.target;
  request.preview = input.preview;
  for (const std::string& param : input.params) request.params.push_back(split_pair("-p", param));
  for (const std::string& workspace : input.workspaces) {
    dag::WorkspaceBinding binding = dag::parse_workspace_flag(workspace);
    if (binding.kind == dag::WorkspaceBinding::Kind::HostFolder) {  // a server, or a rerun, stands elsewhere
      binding.folder = fs::absolute(binding.folder).lexically_normal().string();
      check_folder(workspace, binding.folder);
    }
    request.workspaces.push_back(std::move(binding));
  }

  Diagnostics found;
  const dag::Documents documents = load_documents(input.files, found);
  CommandResolver resolver(context, input.remote);
  dag::Compiled compiled = dag::compile(documents, request, resolver, std::move(found));
  show(compiled.diagnostics, documents.sources);
  if (!compiled.plan) fail(resolver.kind_of(count_errors(compiled.diagnostics)), compiled.diagnostics);
  return std::move(*compiled.plan);
}

void refuse_unsupported(const dag::Plan& plan, const dag::Allowances& allowed) {
  const Diagnostics found = dag::unsupported(plan, allowed);
  if (found.empty()) return;
  show(found, plan.sources);
  fail(ErrorKind::Invalid, found);
}

}  // namespace kiln::cli
