#include "steps/step_world.h"

#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "steps/host_network.h"
#include "steps/step_command.h"
#include "steps/wire.h"

namespace kiln::steps {
namespace {

constexpr const char* kCredentials = "/tekton/creds";
constexpr const char* kKilnInside = "/tekton/bin/kiln";

// A host name from any text: RFC 1123, at most 63 characters.
std::string host_name(std::string_view name) {
  std::string out;
  for (const char c : to_lower(name)) out += std::isalnum(static_cast<unsigned char>(c)) ? c : '-';
  if (out.size() > 63) out.resize(63);
  while (out.ends_with('-')) out.pop_back();
  return out.empty() ? "kiln" : out;
}

void restrict_user(const StepSpec& step, SandboxSpec& sandbox) {
  if (step.image == kKilnImage) return;
  if (step.run_as_non_root && sandbox.uid == 0)
    throw Error(ErrorKind::Invalid,
                "it has runAsNonRoot, and " + (step.run_as_user ? std::string("runAsUser is 0")
                                                                : "the user of " + step.image + " is root"),
                "set securityContext.runAsUser to another user");
  sandbox.groups.insert(sandbox.groups.end(), step.groups.begin(), step.groups.end());
  sandbox.capabilities = step.capabilities;
  if (step.privileged) sandbox.trusted = true;
  // With a raw socket root reads what others send over the machine's loopback, passwords for our server too.
  constexpr uint64_t kNetRaw = 1u << 13;
  if (sandbox.network == Network::Host && !sandbox.trusted)
    sandbox.capabilities = sandbox.capabilities.value_or(wire::kRootCapabilities) & ~kNetRaw;
}

// Tekton's creds-init: a folder of the step's own in memory, and copies where programs look for them.
void add_credentials(const CredentialFiles& credentials, bool in_home, SandboxSpec& sandbox) {
  if (credentials.files.empty()) return;
  std::erase_if(sandbox.mounts, [](const Mount& mount) { return mount.destination == kCredentials; });
  sandbox.mounts.push_back({.kind = Mount::Kind::Tmpfs, .source = {}, .destination = kCredentials});
  const auto copy = [&](const fs::path& folder) {
    for (const fs::path& file : credentials.files)
      sandbox.mounts.push_back(
          {.kind = Mount::Kind::Copy, .source = credentials.folder / file, .destination = folder / file});
  };
  copy(kCredentials);
  if (!in_home) return;
  for (const std::string& variable : sandbox.env)
    if (variable.starts_with("HOME=/"))
      if (const fs::path home = fs::path(variable.substr(5)).lexically_normal(); home != kCredentials)
        copy(home);
}

void mount_all(const std::vector<VolumeMount>& volumes, SandboxSpec& sandbox) {
  for (const VolumeMount& volume : volumes)
    sandbox.mounts.push_back({.source = volume.source,
                              .destination = volume.destination,
                              .read_only = volume.read_only,
                              .owned_by_step = true,
                              .within = volume.within});
}

}  // namespace

std::string StepWorld::write_script(const Place& place) const {
  if (place.step.script.empty()) return {};
  return folder_.write_script(place.script, script_file(place.step.script));
}

void StepWorld::set_kiln_world(const StepSpec& step, SandboxSpec& sandbox,
                               std::vector<std::string>& env) const {
  const Environment host = current_environment();
  const auto inherit = [&](const std::string& name) {
    if (name.find('=') != std::string::npos)
      env.push_back(name);
    else if (const auto found = host.find(name); found != host.end())
      env.push_back(name + "=" + found->second);
  };
  // What the user's credentials and kiln's own folders are found by.
  for (const char* name : {"HOME", "PATH", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME",
                           "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE"})
    inherit(name);
  for (const std::string& name : options_.inherited_env) inherit(name);
  // The folders that its document may name (cli/step_mode.h).
  std::string folders = "/workspace:/tekton";
  for (const std::vector<VolumeMount>* mounts : {&pod_.workspaces, &step.mounts})
    for (const VolumeMount& mount : *mounts) folders += ":" + mount.destination.string();
  env.push_back("KILN_STEP=" + folders);
  env.push_back("TMPDIR=/tekton/tmp");
  sandbox.mounts.push_back({.kind = Mount::Kind::Tmpfs, .source = {}, .destination = "/tekton/tmp"});
  for (const fs::path& folder : options_.kiln_dirs) {
    make_dirs(folder);
    sandbox.mounts.push_back({.source = folder, .destination = folder});
  }
  std::error_code missing;
  const fs::path binary = fs::canonical(options_.kiln_binary, missing);
  if (missing)
    throw Error(ErrorKind::Infrastructure, "kiln's own program " + options_.kiln_binary.native() + " is gone",
                "was it replaced while running? start kiln again");
  sandbox.mounts.push_back({.source = binary, .destination = kKilnInside, .read_only = true});
}

// image: kiln and image: host run on this machine's root, read-only but for their own folders.
void StepWorld::set_host_world(const Place& place, const Variables& variables, SandboxSpec& sandbox) const {
  // The host has its own /etc/hosts.
  std::erase_if(sandbox.mounts, [](const Mount& mount) { return mount.destination == "/etc/hosts"; });
  sandbox.rootfs.host = true;
  sandbox.trusted = place.step.image == kKilnImage;
  std::vector<std::string> env =
      host_network(current_environment(), folder_.control(), pod_.network, true).env;
  StepSpec on_host = place.step;
  // Where /etc/resolv.conf is a link into /run, of which such a step has its own.
  if (const fs::path names = fs::weakly_canonical("/etc/resolv.conf");
      !sandbox.trusted && is_within(names, "/run"))
    sandbox.mounts.push_back({.source = names, .destination = names, .read_only = true});
  if (sandbox.trusted) {
    on_host.command = {kKilnInside};
    set_kiln_world(place.step, sandbox, env);
  } else {
    sandbox.uid = place.step.run_as_user.value_or(::geteuid());
    sandbox.gid = place.step.run_as_group.value_or(::getegid());
  }
  sandbox.env = step_env({}, env, variables, "/tekton/home");
  sandbox.args = step_command(on_host, {}, write_script(place), variables);
}

void StepWorld::set_image_world(const Place& place, const Variables& variables, SandboxSpec& sandbox) const {
  const auto& [step, image, script] = place;
  const HostNetwork network = host_network(current_environment(), folder_.control(), pod_.network);
  const ImageUser user = resolve_user(
      image.config.user, read_image_file(image.lowers, "/etc/passwd").value_or(""),
      read_image_file(image.lowers, "/etc/group").value_or(""), step.run_as_user, step.run_as_group);
  sandbox.rootfs.lowers = image.lowers;
  sandbox.rootfs.read_only = step.read_only_root;
  sandbox.uid = user.uid;
  sandbox.gid = user.gid;
  sandbox.groups = user.groups;
  sandbox.mounts.insert(sandbox.mounts.begin(), network.mounts.begin(), network.mounts.end());
  sandbox.env = step_env(image.config, network.env, variables, user.home);
  sandbox.args = step_command(step, image.config, write_script(place), variables);
}

void StepWorld::set_user_and_root(const Place& place, const Variables& variables,
                                  SandboxSpec& sandbox) const {
  sandbox.hostname = host_name(pod_.name);
  sandbox.network = pod_.network;
  sandbox.network_namespace = network_;
  sandbox.network_owner = network_owner_;
  sandbox.resources = place.step.resources;
  if (runs_on_host(place.step))
    set_host_world(place, variables, sandbox);
  else
    set_image_world(place, variables, sandbox);
}

void StepWorld::finish(const Place& place, const Variables& variables, SandboxSpec& sandbox) const {
  restrict_user(place.step, sandbox);
  const bool on_host = runs_on_host(place.step);
  std::string cwd = expand_variables(place.step.working_dir, variables);
  if (cwd.empty() && !on_host) cwd = place.image.config.working_dir;
  if (cwd.empty()) cwd = on_host ? "/workspace" : "/";
  sandbox.cwd = (fs::path("/workspace") / cwd).lexically_normal();
}

SandboxSpec StepWorld::of_step(size_t index, const StepSpec& step, const StepImage& image) const {
  const Place place{step, image, "script-" + std::to_string(index)};
  const Variables variables = expand_env(step.env);
  SandboxSpec sandbox;
  sandbox.id = pod_.name + "-" + std::to_string(index);
  sandbox.mounts = folder_.mounts(index, pod_.network);
  set_user_and_root(place, variables, sandbox);
  if (pod_.hermetic) {
    sandbox.network = Network::None;
    sandbox.network_namespace = sandbox.network_owner = -1;
  }
  mount_all(pod_.workspaces, sandbox);
  mount_all(step.mounts, sandbox);
  add_credentials(pod_.credentials, step.image != kKilnImage, sandbox);
  finish(place, variables, sandbox);
  return sandbox;
}

SandboxSpec StepWorld::of_sidecar(size_t index, const SidecarSpec& sidecar, const StepImage& image) const {
  const std::string number = std::to_string(index);
  const Place place{sidecar, image, "sidecar-script-" + number};
  const Variables variables = expand_env(sidecar.env);
  SandboxSpec sandbox;
  sandbox.id = pod_.name + "-sidecar-" + number;
  sandbox.mounts = folder_.sidecar_mounts(pod_.network);
  set_user_and_root(place, variables, sandbox);
  mount_all(pod_.workspaces, sandbox);
  mount_all(sidecar.mounts, sandbox);
  finish(place, variables, sandbox);
  return sandbox;
}

}  // namespace kiln::steps
