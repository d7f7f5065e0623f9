#pragma once

namespace CLI {
class App;
}

namespace kiln::cli {

// For `image: kiln` steps: this program with the rights of the user who runs the pipeline, and arguments that
// its document gives. Files and folders may then be only those that the step has, and what was set up for it
// (--root and its like) stays as it is. Does nothing elsewhere.
void confine_to_step(CLI::App& app);

}  // namespace kiln::cli
