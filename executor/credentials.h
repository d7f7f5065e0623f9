#pragma once

#include <vector>

#include "executor/pod_volumes.h"

namespace kiln::executor {

// The files that Tekton's creds-init makes of a ServiceAccount's Secrets, by their path below /tekton/creds,
// all for their owner only. What a Secret is for say its annotations tekton.dev/git-N and
// tekton.dev/docker-N:
//   kubernetes.io/basic-auth         .gitconfig and .git-credentials; .docker/config.json
//   kubernetes.io/ssh-auth           .ssh/id_NAME, .ssh/config, .ssh/known_hosts
//   kubernetes.io/dockerconfigjson,
//   kubernetes.io/dockercfg          .docker/config.json, without an annotation too
// A Secret that is not loaded is left out with a note. Throws Invalid for one that lacks a key of its type;
// no message holds a value.
std::vector<VolumeFile> credential_files(const dag::ServiceAccount& account, const PodFacts& facts,
                                         std::vector<std::string>& notes);

}  // namespace kiln::executor
