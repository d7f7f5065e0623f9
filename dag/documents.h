#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dag/model.h"
#include "dag/places.h"

namespace kiln::dag {

// Everything that was loaded for one command, from however many files. Objects never move once loaded.
struct Documents {
  std::map<std::string, std::string> sources;  // file as the user named it → its text
  std::map<std::string, Places> places;        // of each of them
  std::deque<Task> tasks;                      // ClusterTasks too
  std::deque<Pipeline> pipelines;
  std::deque<PipelineRun> pipeline_runs;
  std::deque<TaskRun> task_runs;
  std::deque<StepAction> step_actions;
  std::deque<PipelineResource> pipeline_resources;
  std::deque<CustomRun> custom_runs;
  std::deque<KeyValues> config_maps, secrets;
  std::deque<ServiceAccount> service_accounts;
  std::deque<OtherObject> claims;  // PersistentVolumeClaims
  std::deque<OtherObject> others;
  std::unordered_map<std::string, const Object*> by_name;  // "Kind/name"

  Documents() = default;
  Documents(Documents&&) = default;
  Documents& operator=(Documents&&) = default;

  const Task* task(std::string_view name) const;  // nullptr when not loaded
  const Pipeline* pipeline(std::string_view name) const;
  const KeyValues* secret(std::string_view name) const;
};

// Reads the documents of one file (YAML or JSON, many per file, `List` objects) into `documents`. Mistakes
// are Diagnostics; what could be read is kept, so that later checks see as much as possible.
void load(Documents& documents, std::string file, std::string text, Diagnostics& diagnostics);

// Each diagnostic rendered with its line, sorted by place: what `kiln lint` prints. Of more than a thousand
// only the first, errors before all others, and how many there are besides.
std::string render(Diagnostics diagnostics, const std::map<std::string, std::string>& sources);

}  // namespace kiln::dag
