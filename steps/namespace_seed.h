#pragma once

#include <cstdint>

#include "base/unique_fd.h"
#include "steps/spawn.h"
#include "steps/user_namespace.h"

namespace kiln::steps {

// Namespaces need a process to be born in: the sandbox program, with a user namespace among them, where it
// waits for its maps. Gone when this is, or when it has gone on.
class NamespaceSeed {
 public:
  // `clone_flags` as for spawn_sandbox_program; `flags` are wire::Flag. Throws Infrastructure.
  NamespaceSeed(int clone_flags, uint32_t flags);
  ~NamespaceSeed();
  NamespaceSeed(const NamespaceSeed&) = delete;
  NamespaceSeed& operator=(const NamespaceSeed&) = delete;

  void write_maps(const IdMaps& maps) { write_id_maps(maps, spawned_.pid); }
  // "user", "net": keeps the namespace as long as it is open.
  UniqueFd open(const char* kind) const;
  // Lets it do what the flags ask for, and waits for that. Throws Infrastructure when it cannot.
  void go();

 private:
  UniqueFd control_, status_;
  Spawned spawned_;
};

}  // namespace kiln::steps
