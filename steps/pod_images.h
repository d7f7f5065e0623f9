#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/error.h"
#include "steps/step_image.h"

namespace kiln::steps {

// The first image that could not be had, and for whom.
struct ImageProblem {
  const StepSpec* step = nullptr;
  Error error;
};

// The images of these steps and sidecars, in their order: each image once, several at a time. One that cannot
// be had ends the wait for the others at once; then `images` is not to be used. None is asked for when
// `wanted` is null (image: kiln, image: host). `source` is called from several threads.
std::optional<ImageProblem> get_images(const std::vector<const StepSpec*>& wanted, const ImageSource& source,
                                       const std::stop_token& stop, std::vector<StepImage>& images);

}  // namespace kiln::steps
