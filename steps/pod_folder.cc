#include "steps/pod_folder.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/open_folder.h"

namespace kiln::steps {
namespace {

// Whoever a step runs as must be able to write here, with idmapped mounts or without.
void make_shared_dir(const fs::path& path) {
  make_dirs(path);
  if (::chmod(path.c_str(), 0777) != 0) throw_errno("cannot open up " + path.string());
}

void make_link(const std::string& target, const fs::path& link) {
  if (::symlink(target.c_str(), link.c_str()) != 0 && errno != EEXIST)
    throw_errno("cannot make " + link.string());
}

// What steps of any user may look at, whatever this process's umask.
void make_open_dir(const fs::path& path) {
  make_dirs(path);
  if (::chmod(path.c_str(), 0755) != 0) throw_errno("cannot open " + path.string() + " for all");
}
void write_open_file(const fs::path& path, std::string_view content) {
  write_file(path, content);
  if (::chmod(path.c_str(), 0644) != 0) throw_errno("cannot open " + path.string() + " for all");
}

// Below the pod's folder, and below /tekton.
fs::path status_folder(size_t index) {
  return fs::path("run") / std::to_string(index) / "status";
}

}  // namespace

PodFolder::PodFolder(const PodSpec& pod)
    : folder_(pod.folder), control_(pod.control.empty() ? pod.folder : pod.control) {
  const std::vector<StepSpec>& steps = pod.steps;
  for (const char* name : {"workspace", "home"}) make_shared_dir(folder_ / name);
  for (const char* name : {"results", "artifacts", "creds"}) make_shared_dir(control_ / name);
  for (const char* name : {"steps", "scripts", "run"}) make_open_dir(control_ / name);
  for (size_t i = 0; i < steps.size(); ++i) {
    const std::string number = std::to_string(i);
    const fs::path status = control_ / status_folder(i);
    make_open_dir(status.parent_path());
    make_open_dir(status);
    make_shared_dir(status / "results");
    make_shared_dir(status / "artifacts");
    const std::string target = "/tekton/run/" + number + "/status";
    make_link(target, control_ / "steps" / number);
    // Names come from a document; one that is no file name simply has no link.
    if (!steps[i].name.empty() && steps[i].name.find('/') == std::string::npos)
      make_link(target, control_ / "steps" / ("step-" + steps[i].name));
  }
  // An image's /etc/hosts is meant to be written by whoever runs it.
  write_open_file(control_ / "hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
}

std::string PodFolder::write_script(const std::string& name, std::string_view content) const {
  const fs::path file = control_ / "scripts" / name;
  write_file(file, content, 0755);
  if (::chmod(file.c_str(), 0755) != 0) throw_errno("cannot make " + file.string() + " executable");
  return "/tekton/scripts/" + name;
}

std::vector<Mount> PodFolder::mounts(size_t index, Network network) const {
  std::vector<Mount> mounts;
  const auto bind = [&](const fs::path& source, const fs::path& destination, bool read_only) {
    mounts.push_back(
        {.source = source, .destination = destination, .read_only = read_only, .owned_by_step = !read_only});
  };
  bind(folder_ / "workspace", "/workspace", false);
  bind(folder_ / "home", "/tekton/home", false);
  for (const char* name : {"results", "artifacts", "creds"})
    bind(control_ / name, fs::path("/tekton") / name, false);
  for (const char* name : {"steps", "run", "scripts"})
    bind(control_ / name, fs::path("/tekton") / name, true);
  const fs::path own = status_folder(index);
  for (const char* name : {"results", "artifacts"})
    bind(control_ / own / name, "/tekton" / own / name, false);
  if (network != Network::Host) bind(control_ / "hosts", "/etc/hosts", true);
  return mounts;
}

std::vector<Mount> PodFolder::sidecar_mounts(Network network) const {
  std::vector<Mount> mounts{
      {.source = control_ / "scripts", .destination = "/tekton/scripts", .read_only = true}};
  if (network != Network::Host)
    mounts.push_back({.source = control_ / "hosts", .destination = "/etc/hosts", .read_only = true});
  return mounts;
}

void PodFolder::write_exit_code(size_t index, int code) const {
  write_open_file(control_ / status_folder(index) / "exitCode", std::to_string(code));
}

std::optional<PodFolder::Result> PodFolder::result(const std::string& name, uint64_t limit) const {
  return read("results", name, limit);
}

std::optional<PodFolder::Result> PodFolder::step_result(size_t index, const std::string& name,
                                                        uint64_t limit) const {
  return read(status_folder(index) / "results", name, limit);
}

std::optional<PodFolder::Result> PodFolder::artifacts(uint64_t limit) const {
  return read("artifacts", "provenance.json", limit);
}

std::optional<PodFolder::Result> PodFolder::step_artifacts(size_t index, uint64_t limit) const {
  return read(status_folder(index) / "artifacts", "provenance.json", limit);
}

std::optional<PodFolder::Result> PodFolder::read(const fs::path& folder, const std::string& name,
                                                 uint64_t limit) const {
  const UniqueFd results = open_file(control_ / folder, O_PATH | O_DIRECTORY);
  const UniqueFd file = open_resolved(results.get(), name, O_RDONLY | O_NONBLOCK | O_NOCTTY,
                                      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  struct stat st;
  if (!file || ::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) return std::nullopt;
  Result result{.size = static_cast<uint64_t>(st.st_size), .value = {}};
  if (result.size > limit) return result;
  try {
    result.value = read_all(file.get(), limit, (folder / name).native());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Invalid) throw;
    result.size = limit + 1;  // a sidecar writes to it as we read
  }
  return result;
}

}  // namespace kiln::steps
