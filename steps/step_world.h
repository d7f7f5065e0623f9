#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "steps/pod.h"
#include "steps/pod_folder.h"
#include "steps/step_image.h"
#include "steps/variables.h"

namespace kiln::steps {

// What steps with these images are: this same program, and the machine's own root.
inline constexpr std::string_view kKilnImage = "kiln", kHostImage = "host";
inline bool runs_on_host(const StepSpec& step) {
  return step.image == kKilnImage || step.image == kHostImage;
}

// Describes the sandboxes of one pod's steps and sidecars, and writes their scripts. What it is made of has
// to outlive it.
class StepWorld {
 public:
  StepWorld(const PodSpec& pod, const LocalPods::Options& options, const PodFolder& folder)
      : pod_(pod), options_(options), folder_(folder) {}
  // All sandboxes described from now on join this namespace. It has to outlive them.
  void set_network(int network_namespace, int owner) {
    network_ = network_namespace;
    network_owner_ = owner;
  }

  // `image` is empty for `kiln` and `host`. Throws Invalid for what the image or the document got wrong.
  SandboxSpec of_step(size_t index, const StepSpec& step, const StepImage& image) const;
  SandboxSpec of_sidecar(size_t index, const SidecarSpec& sidecar, const StepImage& image) const;

 private:
  struct Place {
    const StepSpec& step;
    const StepImage& image;
    std::string script;  // the file's name
  };
  void set_user_and_root(const Place& place, const Variables& variables, SandboxSpec& sandbox) const;
  void set_image_world(const Place& place, const Variables& variables, SandboxSpec& sandbox) const;
  void set_host_world(const Place& place, const Variables& variables, SandboxSpec& sandbox) const;
  void set_kiln_world(const StepSpec& step, SandboxSpec& sandbox, std::vector<std::string>& env) const;
  void finish(const Place& place, const Variables& variables, SandboxSpec& sandbox) const;
  std::string write_script(const Place& place) const;

  const PodSpec& pod_;
  const LocalPods::Options& options_;
  const PodFolder& folder_;
  int network_ = -1, network_owner_ = -1;
};

}  // namespace kiln::steps
