#pragma once

namespace CLI {
class App;
}

// One function per verb, each in a file of its own: adds the verb's options to the parser and what it does.
// Verbs throw kiln::Error for what goes wrong and set Context::exit_code otherwise.
namespace kiln::cli {

class Context;

void add_run(CLI::App& app, Context& context);
void add_lint(CLI::App& app, Context& context);
void add_graph(CLI::App& app, Context& context);
void add_runs(CLI::App& app, Context& context);
void add_runs_start(CLI::App& runs, Context& context);  // a part of `kiln runs`
void add_explain(CLI::App& runs, Context& context);     // likewise
void add_logs(CLI::App& app, Context& context);
void add_shell(CLI::App& app, Context& context);
void add_build(CLI::App& app, Context& context);
void add_image(CLI::App& app, Context& context);
void add_login(CLI::App& app, Context& context);          // and logout
void add_image_copy(CLI::App& image, Context& context);   // a part of `kiln image`: pull, push, copy
void add_image_store(CLI::App& image, Context& context);  // a part of `kiln image`
void add_stack(CLI::App& app, Context& context);
void add_deploy(CLI::App& app, Context& context);
void add_service(CLI::App& app, Context& context);
void add_invoke(CLI::App& app, Context& context);
void add_serve(CLI::App& app, Context& context);
void add_git_clone(CLI::App& app, Context& context);
void add_doctor(CLI::App& app, Context& context);
void add_completion(CLI::App& app, Context& context);
void add_version(CLI::App& app, Context& context);

}  // namespace kiln::cli
