#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kiln::dag {

// What `$(steps.s.outputs.NAME)` and `$(tasks.t.inputs.NAME)` stand for: the values of that artifact in a
// provenance.json, as JSON on one line; without a name those of the first artifact. `kind` is "inputs" or
// "outputs". nullopt when there is none, or the file is not of that form.
// https://tekton.dev/docs/pipelines/artifacts
std::optional<std::string> artifact_values(std::string_view provenance, std::string_view kind,
                                           std::string_view name = {});

}  // namespace kiln::dag
