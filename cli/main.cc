#include <CLI/CLI.hpp>
#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "cli/context.h"
#include "cli/options.h"
#include "cli/step_mode.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace {

using namespace kiln;
using namespace kiln::cli;

void add_verbs(CLI::App& app, Context& context) {
  add_run(app, context);
  add_lint(app, context);
  add_graph(app, context);
  add_runs(app, context);
  add_logs(app, context);
  add_shell(app, context);
  add_build(app, context);
  add_image(app, context);
  add_login(app, context);
  add_stack(app, context);
  add_deploy(app, context);
  add_service(app, context);
  add_invoke(app, context);
  add_serve(app, context);
  add_git_clone(app, context);
  add_doctor(app, context);
  add_completion(app, context);
  add_version(app, context);
}

// The user's own file lies where --root or KILN_ROOT say, if they do; the project's wins over it.
void load_files(const CLI::App& app, Context& context, std::vector<std::string>& words) {
  const fs::path project = ".kiln/config.toml";
  const nlohmann::json nearer = load_project_settings(project);
  const std::optional<std::string> root = root_of(words);
  const fs::path own = (root ? Dirs::under(*root) : Dirs::of_user()).config / "config.toml";
  const nlohmann::json farther = load_settings(own);
  check_setting_names(app, farther, own);
  append_lists(app, nearer, project, words);
  append_lists(app, farther, own, words);
  add_image_aliases(context.aliases, farther, own);
  add_image_aliases(context.aliases, nearer, project);
  try {
    if (farther.contains("registry")) context.registry_settings.apply(farther["registry"], own);
  } catch (const Error& error) {
    context.settings_problem = error;
  }
}

int run(int argc, char** argv) {
  failpoint("start");
  Context context;
  CLI::App app(
      "From Tekton YAML and a source tree to a running revision.\n\n"
      "  kiln stack create                  make the base images, once\n"
      "  kiln serve                         registry, API and gateway on 127.0.0.1:8080\n"
      "  kiln run pipeline.yaml -p k=v      compile and run a pipeline\n",
      "kiln");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--root", context.root, "Keep everything under one folder instead of the XDG folders");
  app.add_option("--sandbox", context.sandbox, "Who runs steps: native, runc or crun")->capture_default_str();
  app.add_option("--server", context.server, "Address of a running `kiln serve`");
  add_verbs(app, context);
  add_environment_names(app);
  confine_to_step(app);
  context.catch_interrupts();
  try {
    std::vector<std::string> words = arguments_of(argc, argv);
    load_files(app, context, words);
    std::ranges::reverse(words);  // as CLI11 takes them
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // prints help
    print_error(usage_error(app, error));
    return exit_code(ErrorKind::Usage);
  } catch (const Error& error) {
    print_error(error);
    return exit_code(error.kind());
  } catch (const std::bad_alloc&) {
    print_error(Error(ErrorKind::Infrastructure, "out of memory"));
    return exit_code(ErrorKind::Infrastructure);
  } catch (const std::exception& error) {
    print_error(Error(ErrorKind::Infrastructure, error.what()));
    return exit_code(ErrorKind::Infrastructure);
  }
  if (const auto problem = output_problem(); problem && context.exit_code == 0) {
    print_error(*problem);
    return exit_code(problem->kind());
  }
  return context.exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv);
}
