#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/error.h"
#include "steps/pod.h"
#include "steps/step_image.h"

namespace kiln::steps {

// The first image that could not be had, and for whom.
struct ImageProblem {
  const StepSpec* step = nullptr;
  Error error;
};

// The steps of a pod, then its sidecars.
std::vector<const StepSpec*> containers_of(const PodSpec& pod);

// Their images, in their order: each image once, several at a time. One that cannot be had ends the wait for
// the others at once; then `images` is not to be used. image: kiln and image: host have none, theirs stay
// empty. `source` is called from several threads.
std::optional<ImageProblem> get_images(const std::vector<const StepSpec*>& containers,
                                       const ImageSource& source, const std::stop_token& stop,
                                       std::vector<StepImage>& images);

}  // namespace kiln::steps
