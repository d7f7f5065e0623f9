#include "dag/step_template.h"

#include <string_view>
#include <unordered_map>

namespace kiln::dag {
namespace {

void inherit(Text& mine, const Text& theirs) {
  if (mine.empty()) mine = theirs;
}

template <class T>
void inherit(std::optional<T>& mine, const std::optional<T>& theirs) {
  if (!mine) mine = theirs;
}

template <class T>
void inherit(std::vector<T>& mine, const std::vector<T>& theirs) {
  if (mine.empty()) mine = theirs;
}

void inherit(EnvVar& mine, const EnvVar& theirs) {
  if (mine.from == EnvVar::From::Value && mine.value.empty()) mine = theirs;
}

void inherit(VolumeMount& mine, const VolumeMount& theirs) {
  inherit(mine.name, theirs.name);
  if (mine.sub_path.empty() && mine.sub_path_expr.empty()) {
    mine.sub_path = theirs.sub_path;
    mine.sub_path_expr = theirs.sub_path_expr;
  }
  mine.read_only = mine.read_only || theirs.read_only;
}

void inherit(VolumeDevice& mine, const VolumeDevice& theirs) {
  inherit(mine.name, theirs.name);
}

void inherit(ComputeResources& mine, const ComputeResources& theirs) {
  inherit(mine.cpu_limit, theirs.cpu_limit);
  inherit(mine.memory_limit, theirs.memory_limit);
  inherit(mine.cpu_request, theirs.cpu_request);
  inherit(mine.memory_request, theirs.memory_request);
}

// Items of one key are merged. Those of the base alone come before the first item that the base has after
// them, else behind all others: the order decides which variables a variable may refer to.
template <class T>
void merge_by(Text T::*key, std::vector<T>& mine, const std::vector<T>& base) {
  if (base.empty()) return;
  std::unordered_map<std::string_view, size_t> in_base, in_mine;
  for (size_t i = 0; i < base.size(); ++i) in_base.emplace((base[i].*key).value, i);
  for (size_t i = 0; i < mine.size(); ++i) in_mine.emplace((mine[i].*key).value, i);
  std::vector<T> out;
  size_t next = 0;
  const auto take_base_until = [&](size_t end) {
    for (; next < end; ++next)
      if (!in_mine.contains((base[next].*key).value)) out.push_back(base[next]);
  };
  for (T& item : mine) {
    if (const auto same = in_base.find((item.*key).value); same != in_base.end()) {
      take_base_until(same->second);
      inherit(item, base[same->second]);
    }
    out.push_back(item);  // not moved: `in_mine` looks at its key
  }
  take_base_until(base.size());
  mine = std::move(out);
}

}  // namespace

void merge_template(Step& step, const Step& base) {
  inherit(step.image, base.image);
  inherit(step.working_dir, base.working_dir);
  inherit(step.image_pull_policy, base.image_pull_policy);
  inherit(step.resources, base.resources);
  if (step.script.empty()) inherit(step.command, base.command);
  inherit(step.args, base.args);
  merge_security(step.security, base.security);
  inherit(step.env_from, base.env_from);
  merge_by(&EnvVar::name, step.env, base.env);
  merge_by(&VolumeMount::mount_path, step.volume_mounts, base.volume_mounts);
  merge_by(&VolumeDevice::device_path, step.volume_devices, base.volume_devices);
}

void merge_security(SecurityContext& mine, const SecurityContext& base) {
  inherit(mine.run_as_user, base.run_as_user);
  inherit(mine.run_as_group, base.run_as_group);
  inherit(mine.run_as_non_root, base.run_as_non_root);
  inherit(mine.read_only_root, base.read_only_root);
  inherit(mine.privileged, base.privileged);
  inherit(mine.allow_privilege_escalation, base.allow_privilege_escalation);
  inherit(mine.add_capabilities, base.add_capabilities);
  inherit(mine.drop_capabilities, base.drop_capabilities);
}

void override_env(std::vector<EnvVar>& env, const std::vector<EnvVar>& over) {
  std::unordered_map<std::string_view, size_t> last;
  for (size_t i = 0; i < over.size(); ++i) last[over[i].name.value] = i;
  std::erase_if(env, [&](const EnvVar& mine) { return last.contains(mine.name.value); });
  for (size_t i = 0; i < over.size(); ++i)
    if (last[over[i].name.value] == i) env.push_back(over[i]);
}

}  // namespace kiln::dag
