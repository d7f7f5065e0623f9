#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "steps/pod.h"

namespace kiln::steps {

// The host folders behind one TaskRun's shared places:
//   workspace/ home/                               → /workspace and /tekton/home, written by any step
// and, in PodSpec::control:
//   results/ artifacts/ creds/                     → /tekton/…, written by any step
//   run/N/status/{results,artifacts}/              → /tekton/run/N/…, written by step N only
//   run/N/status/exitCode                          written by Kiln
//   steps/step-NAME, steps/N                       → /tekton/steps: links to /tekton/run/N/status
//   scripts/script-N                               → /tekton/scripts, read-only
class PodFolder {
 public:
  // Makes all of it, empty.
  explicit PodFolder(const PodSpec& pod);

  // For small files that live as long as the pod.
  const std::filesystem::path& control() const { return control_; }

  // Writes the script `name` ("script-0"); returns its path inside the sandbox.
  std::string write_script(const std::string& name, std::string_view content) const;
  // The mounts that every step gets, with the parts that only step `index` may write.
  std::vector<Mount> mounts(size_t index, Network network) const;
  // Those that every sidecar gets.
  std::vector<Mount> sidecar_mounts(Network network) const;
  void write_exit_code(size_t index, int code) const;

  struct Result {
    uint64_t size = 0;
    std::string value;  // empty when larger than the limit
  };
  // A file that steps left; nullopt when there is none, or nothing that is a plain file. Whatever a step puts
  // there, no link is followed and no pipe waited for.
  std::optional<Result> result(const std::string& name, uint64_t limit) const;
  std::optional<Result> step_result(size_t index, const std::string& name, uint64_t limit) const;
  std::optional<Result> artifacts(uint64_t limit) const;
  std::optional<Result> step_artifacts(size_t index, uint64_t limit) const;

 private:
  std::optional<Result> read(const std::filesystem::path& folder, const std::string& name,
                             uint64_t limit) const;

  std::filesystem::path folder_, control_;
};

}  // namespace kiln::steps
