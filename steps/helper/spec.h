#pragma once

#include <initializer_list>
#include <linux/filter.h>

#include "steps/wire.h"

// The sandbox program's view of what it was asked to do: pointers into the mapped memfd.
namespace kiln::steps::helper {

struct Spec {
  const wire::Header* header;
  const uint32_t* groups;
  const wire::MountEntry* mounts;
  const sock_filter* seccomp;
  const char* mount_point;  // an existing folder of the host to build the new root on
  const char* upper;        // empty: a tmpfs of our own
  const char* hostname;
  const char* cwd;
  const char* cgroup_name;
  const char** lowers;
  const char** mount_paths;  // source, destination, source, destination, …
  char** args;               // NULL-terminated
  char** env;                // NULL-terminated

  bool has(wire::Flag flag) const { return header->flags & flag; }
};

// Maps and indexes wire::kSpecFd; ends the program when it cannot.
Spec read_spec();

// Tells kiln that the sandbox cannot be made (with errno) and ends the program.
[[noreturn]] void fail(const char* what, const char* object = "");
void report(const wire::Status& status);
void set_message(wire::Status& status, const char* a, const char* b = "", const char* c = "",
                 const char* d = "");

// root.cc: the new root with everything mounted, entered; the old one gone.
void enter_root(const Spec& spec);
// devices.cc: /dev of the new root. `host_devices` are detached mounts of the host's nodes when this user
// may not make nodes; from open_host_devices(), before the host's root is out of reach.
inline constexpr int kDevices = 6;
void open_host_devices(int (&trees)[kDevices]);
void make_dev(const Spec& spec, const int (&host_devices)[kDevices]);
// process.cc: makes the step's process, which gives up its rights while PID 1 builds the root.
void prepare_process(const Spec& spec);
// Lets it go, in the root that is whole now; returns its pid once it was exec'ed, or ends the program after
// telling kiln.
int start_process(const Spec& spec, int64_t& started_ns);
// Starts another program as the step's user, with nothing to read and nobody to read it. Its pid, or -1.
int start_beside(const Spec& spec, char** args);
// supervise.cc: PID 1's life from then on.
[[noreturn]] void supervise(const Spec& spec, int main_pid, int64_t started_ns);
int64_t now_ns();

// mkdir -p; false with errno when impossible.
bool make_dirs(const char* path, unsigned mode);

}  // namespace kiln::steps::helper
