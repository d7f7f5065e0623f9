#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "registry/image.h"

namespace kiln::registry {
class Store;
}

namespace kiln::builders {

// Kiln's base images, made from Debian packages with mmdebstrap, so that no image registry is needed:
//
//   kiln/build       shell, git, CA certificates, node + npm, python3 + pip + venv, gcc/g++, make
//   kiln/run         the base of what is run: shell, CA certificates
//   kiln/run-node    kiln/run and node
//   kiln/run-python  kiln/run and python3
//
// All share kiln/run's layer and carry what the buildpack lifecycle reads (CNB_USER_ID, CNB_GROUP_ID,
// io.buildpacks.base.*); their user is cnb (1000:1000). Package versions decide the digests: nothing that
// depends on when or where the image was made is kept.
struct StackImage {
  std::string name;  // in the store, "kiln/build:latest"
  registry::Descriptor manifest;
  bool cached = false;  // it was there already
};

struct StackRequest {
  bool update = false;  // make them again, for newer package versions
  std::string suite = "bookworm";
  std::string mirror;  // Debian mirror; empty: mmdebstrap's default with security and update suites
};

// Throws Infrastructure when mmdebstrap is not installed or fails (its last lines are in the message), with
// nothing half-made left in the store's names.
std::vector<StackImage> create_stack(registry::Store& store, const std::filesystem::path& cache,
                                     const StackRequest& request,
                                     const std::function<void(std::string_view)>& log,
                                     std::stop_token stop = {});

}  // namespace kiln::builders
