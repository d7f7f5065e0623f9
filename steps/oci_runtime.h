#pragma once

#include <filesystem>
#include <string>

#include "steps/native_sandbox.h"

namespace kiln::steps {

// Sandboxes made by runc or crun from the runtime-spec document. Needs root: the overlay is mounted by us,
// under
// `<runtime_dir>/oci/`; mounts that a killed kiln left there go away when the next one starts.
//  - start() returns as soon as the runtime was started; a command that cannot be executed is known at its
//  end.
//  - trusted and host-root sandboxes (Kiln's own code) are native ones all the same.
//  - dial_socket() is not available.
class OciRuntime final : public SandboxRuntime {
 public:
  OciRuntime(std::string program, const std::filesystem::path& runtime_dir);
  ~OciRuntime() override;
  std::unique_ptr<Sandbox> start(const SandboxSpec& spec, const Streams& streams) override;

 private:
  std::string program_;
  std::filesystem::path folder_;  // of this process
  NativeRuntime native_;
};

}  // namespace kiln::steps
