#include <algorithm>

#include "dag/compiler.h"
#include "dag/image_name.h"
#include "dag/matrix.h"
#include "dag/resolve.h"

namespace kiln::dag {
namespace {

// The text that the image of a step or sidecar comes from: its own, its action's, or the template's.
const Text& image_text(const TaskSpec& spec, const Step& step) {
  if (step.action) return step.action->step.image;
  return step.image.empty() && spec.step_template ? spec.step_template->image : step.image;
}

bool has_variable_image(const TaskSpec& spec) {
  const auto varies = [&](const Step& step) { return may_have_variables(image_text(spec, step).value); };
  const auto sidecar = [](const Sidecar& one) { return may_have_variables(one.image.value); };
  return std::ranges::any_of(spec.steps, varies) || std::ranges::any_of(spec.sidecars, sidecar);
}

}  // namespace

// Only what params made of an image: names without variables were checked where they stand. What has a
// `when` may never run, and often is guarded by it against just that.
void Compiler::check_images() {
  if (lenient_.values) return;
  for (size_t i = 0; i < plan_.tasks.size(); ++i) {
    const PlannedTask& task = plan_.tasks[i];
    if (!task.spec || !task.when.empty() || !has_variable_image(*task.spec)) continue;
    const size_t combinations = task.matrix ? count_combinations(*task.matrix).value_or(0) : 1;
    if (combinations > kMostCombinations) continue;
    for (size_t k = 0; k < combinations; ++k) {
      const TaskRunIndex which =
          task.matrix ? TaskRunIndex{.in_matrix = k, .combinations = combinations} : TaskRunIndex{};
      const TaskSpec spec = resolve_task(plan_, i, no_facts(), {"run", "uid", "default"}, which).spec;
      const size_t before = diagnostics_.size();
      for (size_t s = 0; s < spec.steps.size() && s < task.spec->steps.size(); ++s) {
        const Step& step = task.spec->steps[s];
        const Text& written = image_text(*task.spec, step);
        if (!step.when.empty() || !may_have_variables(written.value)) continue;
        Reporter reporter(catalog_.documents(), step.action ? step.action->file : task.spec_file,
                          diagnostics_);
        check_image_name(spec.steps[s].image.value, written, reporter);
      }
      Reporter reporter(catalog_.documents(), task.spec_file, diagnostics_);
      for (size_t s = 0; s < spec.sidecars.size() && s < task.spec->sidecars.size(); ++s)
        if (const Text& written = task.spec->sidecars[s].image; may_have_variables(written.value))
          check_image_name(spec.sidecars[s].image.value, written, reporter);
      if (diagnostics_.size() > before) break;  // the other combinations most likely have the same mistake
    }
  }
}

}  // namespace kiln::dag
