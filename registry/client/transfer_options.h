#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.h"

namespace kiln::registry {

// What happens to one blob or manifest under way.
struct TransferEvent {
  enum class Kind {
    Waiting,   // it belongs to the image; nothing has moved yet
    Progress,  // `done` of `total`
    Done,      // all has moved
    Present,   // the target has it
    Mounted,   // the target took it over from another of its repositories
    Elsewhere  // a layer that may not be distributed; its manifest says where it is
  } kind = Kind::Progress;
  Digest digest;
  uint64_t done = 0, total = 0;  // bytes
  std::string media_type{};
};
// May be called from several threads, never from two at once.
using TransferObserver = std::function<void(const TransferEvent&)>;

struct TransferOptions {
  TransferObserver observer{};
  std::stop_token stop{};
  // push: a repository on the same registry that may hold the blobs already, for a cross-repository mount.
  std::string mount_from{};
  // pull: Docker's config.json as texts, each asked for credentials before the files that the user has.
  std::vector<std::string> credentials{};
};

}  // namespace kiln::registry
