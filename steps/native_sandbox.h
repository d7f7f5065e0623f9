#pragma once

#include <filesystem>

#include "steps/sandbox.h"

namespace kiln::steps {

// Sandboxes made by Kiln itself: one process (the sandbox program, PID 1 inside) per sandbox, nothing else.
class NativeRuntime final : public SandboxRuntime {
 public:
  // `runtime_dir` gets one empty folder, `mnt`, which each sandbox covers with its root in its own mount
  // namespace; nothing ever appears there for others.
  explicit NativeRuntime(const std::filesystem::path& runtime_dir);
  std::unique_ptr<Sandbox> start(const SandboxSpec& spec, const Streams& streams) override;

  // Makes a sandbox up to the point where a step would start, and lets it go. Throws as start does.
  void probe();

 private:
  std::unique_ptr<Sandbox> make(const SandboxSpec& spec, const Streams& streams, uint32_t extra_flags);

  std::filesystem::path mount_point_;
};

}  // namespace kiln::steps
