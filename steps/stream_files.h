#pragma once

#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "steps/pod.h"

namespace kiln::steps {

// The files that a step's output goes to beside its log (`stdoutConfig`, `stderrConfig`); both may be the
// same one. Kiln writes them from outside, in the host folder behind the mount that they are in, and no link
// of a step can lead it out of there. An earlier file is added to.
class StreamFiles {
 public:
  // Makes them, and the folders above. Throws Invalid for a path that is in no mounted folder, or not to be
  // written, or no plain file.
  StreamFiles(const StepSpec& step, const SandboxSpec& sandbox);
  // Throws Infrastructure when they cannot be written.
  void write(bool is_stderr, std::string_view bytes);

 private:
  struct File {
    std::string path;
    UniqueFd fd;  // none: nothing to write
  };
  static File open(const std::string& path, const SandboxSpec& sandbox, const char* field);

  File out_, err_;
};

}  // namespace kiln::steps
