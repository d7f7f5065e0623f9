#include "tests/unit/steps/world.h"

namespace kiln::steps {

World::World() : rootfs_(folder_.path() / "rootfs") {
  for (const char* name : {"bin", "sbin", "lib", "lib64"})
    if (fs::exists(fs::path("/usr") / name)) {
      make_dirs(rootfs_);
      fs::create_symlink(fs::path("usr") / name, rootfs_ / name);
    }
  for (const char* name : {"usr", "etc", "tmp", "var"}) make_dirs(rootfs_ / name);
  write_file(rootfs_ / "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nkiln:x:1000:1000::/home/kiln:/bin/sh\n");
  write_file(rootfs_ / "etc/group", "root:x:0:\nkiln:x:1000:\nbuild:x:2000:kiln\n");
  write_file(rootfs_ / "etc/origin", "image\n");
  runtime_ = make_runtime("native", folder_.path() / "run");
}

SandboxSpec World::command(std::vector<std::string> args) const {
  SandboxSpec spec;
  spec.id = "test-" + folder_.path().filename().native();
  spec.rootfs.lowers = {rootfs_};
  spec.mounts.push_back({.source = "/usr", .destination = "/usr", .read_only = true});
  if (fs::is_directory("/etc/alternatives"))
    spec.mounts.push_back(
        {.source = "/etc/alternatives", .destination = "/etc/alternatives", .read_only = true});
  spec.args = std::move(args);
  spec.env = {"PATH=/usr/bin:/bin:/usr/sbin"};
  return spec;
}

SandboxSpec World::shell(std::string script) const {
  return command({"sh", "-c", std::move(script)});
}

World::Ran World::run(const SandboxSpec& spec) {
  Ran ran;
  const RunResult result = run_to_end(*runtime_, spec, [&](bool is_stderr, std::string_view bytes) {
    (is_stderr ? ran.err : ran.out) += bytes;
  });
  ran.status = result.status;
  ran.warnings = result.warnings;
  return ran;
}

std::string seconds_of(pid_t test) {
  return "31415." + std::to_string(test) + "s";
}

std::vector<pid_t> processes_with(const std::string& needle) {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = static_cast<pid_t>(std::strtol(entry.path().filename().c_str(), nullptr, 10));
    if (pid <= 0) continue;
    try {
      if (read_file(entry.path() / "cmdline").find(needle) != std::string::npos) found.push_back(pid);
    } catch (const std::exception&) {  // it has just ended
    }
  }
  return found;
}

}  // namespace kiln::steps
