#include "steps/helper/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

namespace kiln::steps::helper {
namespace {

const char** take_strings(char*& at, uint32_t count) {
  // Never freed: this program lives as long as its sandbox.
  auto** strings = static_cast<const char**>(malloc((count + 1) * sizeof(char*)));
  if (!strings) fail("cannot allocate memory");
  for (uint32_t i = 0; i < count; ++i) {
    strings[i] = at;
    at += strlen(at) + 1;
  }
  strings[count] = nullptr;
  return strings;
}

const char* take_string(char*& at) {
  const char* text = at;
  at += strlen(at) + 1;
  return text;
}

}  // namespace

Spec read_spec() {
  struct stat st;
  if (fstat(wire::kSpecFd, &st) != 0) fail("cannot read the sandbox's description");
  // Private and writable: argv and envp point straight into it.
  auto* base = static_cast<char*>(
      mmap(nullptr, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, wire::kSpecFd, 0));
  if (base == MAP_FAILED) fail("cannot read the sandbox's description");
  close(wire::kSpecFd);

  Spec spec{};
  spec.header = reinterpret_cast<const wire::Header*>(base);
  char* at = base + sizeof(wire::Header);
  spec.mounts = reinterpret_cast<const wire::MountEntry*>(at);
  at += spec.header->mounts * sizeof(wire::MountEntry);
  spec.seccomp = reinterpret_cast<const sock_filter*>(at);
  at += spec.header->seccomp * sizeof(sock_filter);
  spec.groups = reinterpret_cast<const uint32_t*>(at);
  at += spec.header->groups * sizeof(uint32_t);
  spec.mount_point = take_string(at);
  spec.upper = take_string(at);
  spec.hostname = take_string(at);
  spec.cwd = take_string(at);
  spec.cgroup_name = take_string(at);
  spec.lowers = take_strings(at, spec.header->lowers);
  spec.mount_paths = take_strings(at, spec.header->mounts * 2);
  spec.args = const_cast<char**>(take_strings(at, spec.header->args));
  spec.env = const_cast<char**>(take_strings(at, spec.header->env));
  return spec;
}

void report(const wire::Status& status) {
  while (write(wire::kStatusFd, &status, sizeof status) < 0 && errno == EINTR) {
  }
}

void set_message(wire::Status& status, const char* a, const char* b, const char* c, const char* d) {
  size_t used = 0;
  for (const char* part : {a, b, c, d})
    while (*part && used + 1 < sizeof status.message) status.message[used++] = *part++;
  status.message[used] = 0;
}

void fail(const char* what, const char* object) {
  wire::Status status{};
  status.event = wire::Event::SetupFailed;
  status.code = errno;
  set_message(status, what, *object ? " " : "", object);
  report(status);
  _exit(1);
}

int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

bool make_dirs(const char* path, unsigned mode) {
  if (mkdir(path, mode) == 0) return true;
  if (errno == EEXIST) {
    struct stat st;
    if (stat(path, &st) != 0) return false;
    errno = ENOTDIR;
    return S_ISDIR(st.st_mode);
  }
  if (errno != ENOENT) return false;
  char parent[4096];
  const char* slash = strrchr(path, '/');
  if (!slash || slash == path || static_cast<size_t>(slash - path) >= sizeof parent) return false;
  memcpy(parent, path, slash - path);
  parent[slash - path] = 0;
  return make_dirs(parent, mode) && (mkdir(path, mode) == 0 || errno == EEXIST);
}

}  // namespace kiln::steps::helper
