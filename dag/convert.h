#pragma once

#include "dag/fields.h"
#include "dag/yaml.h"

// Conversion at the door: tekton.dev/v1beta1 and v1alpha1 objects become tekton.dev/v1 before they are
// decoded, so that everything behind knows one model. A rewrite of nodes: what is new stands where it came
// from, so later messages point at the user's line.
//
// PipelineResources, which v1 does not have, become what it has. A resource R of a Pipeline, of type git or
// image, turns into string params, one a field: `R.url`, `R.revision`, … Resource N of a Task turns into
// `inputs.N.url`, …, `outputs.N.url`, …: two families, since the same name may be an input and an output.
// The Task does not see the Pipeline, nor the other way round, so both follow these rules alone:
//
// - A git input is fetched by a step put before the others (`image: kiln`, `kiln git-clone`), into
//   /workspace/<targetPath, or N>, as before. That folder is the TaskRun's own, not a workspace: tasks that
//   run side by side each have their checkout.
// - A git output is a workspace, `resource-output-N`, mounted where the steps write. The Pipeline binds it
//   to its workspace `resource-R`, subPath the task's name: one folder a producer.
// - `from: [a]` is runAfter, and for git it binds the optional workspace `resource-input-N` to a's folder.
//   The first step then copies that folder (`--from`) instead of cloning: consumers do not see each other's
//   changes, and nothing is fetched twice.
// - A PipelineRun's or TaskRun's bindings stay as a list under the key `pipelineResources`, because a
//   PipelineResource may be loaded later: convert_bindings.h makes params of it when the run is chosen.
//
// A step of v1alpha1, or beside a resource, that does not say otherwise runs in /workspace; in v1alpha1 with
// HOME=/tekton/home, which the steps share: what these versions promised.
//
// Not kept: the digest that a builder leaves in index.json for an image output; `paths`; Conditions (an
// error, because a task would run that should not); `depth` (a checkout has the whole history).
namespace kiln::dag {

// The object in v1 form: `object` itself when it is v1 already, or none of Tekton's. Nodes that are made
// live in `file`. What is lost or changes its meaning is a Note or a Warning; what cannot be converted is an
// Error and stays as it is. Terminates for every tree that parse_yaml returns. CustomRun has no v1: its
// form is that of v1beta1.
const Node& convert(YamlFile& file, const Node& object, DecodeContext& context);

}  // namespace kiln::dag
