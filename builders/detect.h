#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "builders/build_room.h"
#include "builders/buildpack.h"

namespace kiln::builders {

// The group that builds, with each member's share of the plan.
struct DetectedGroup {
  struct Member {
    const Buildpack* buildpack = nullptr;
    std::vector<nlohmann::json> entries;
  };
  std::vector<Member> extensions;
  std::vector<Member> buildpacks;
};

// Runs every distinct detect program of the order once, in parallel, then looks for the first group that
// fits. Throws Failed listing what each buildpack said when there is none.
DetectedGroup detect(const BuildRoom& room, const BuildpackSet& set, const BuildLog& log);

// Runs bin/generate of the detected extensions. Returns the run image the last of them switched to, or the
// default. Throws Failed for Dockerfile instructions beyond a single FROM, which need the Dockerfile builder.
std::string choose_run_image(const BuildRoom& room, const DetectedGroup& group, const BuildLog& log);

// The plan file a buildpack gets: [[entries]].
std::string plan_document(const std::vector<nlohmann::json>& entries);

}  // namespace kiln::builders
