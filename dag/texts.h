#pragma once

#include <functional>
#include <string_view>

#include "dag/model.h"

// Which texts of a task may hold variables: said once, for checking and for substitution alike.
namespace kiln::dag {

// How a text may use an array: nowhere inside it, standing alone in a list, or also as a whole value.
enum class ArrayUse { Never, Alone, Whole };

// The visitor is called as v(text), v(list of texts), v(param value, position). T may be const or not, and
// the visitor's arguments follow it.
template <class T, class V>
void visit_when(T& when, V& v) {
  v(when.input);
  v(when.values);
  v(when.cel);
}

template <class T, class V>
void visit_volume_source(T& source, V& v) {
  v(source.name);
  v(source.size_limit);
  for (auto& item : source.items) {
    v(item.key);
    v(item.path);
  }
  for (auto& inner : source.sources) visit_volume_source(inner, v);
}

template <class T, class V>
void visit_resources(T& resources, V& v) {
  for (auto* text :
       {&resources.cpu_limit, &resources.memory_limit, &resources.cpu_request, &resources.memory_request})
    v(*text);
}

template <class T, class V>
void visit_env(T& variable, V& v) {
  v(variable.name);
  v(variable.value);
  v(variable.object);
  v(variable.key);
}

template <class T, class V>
void visit_container(T& container, V& v) {
  v(container.name);
  v(container.image);
  v(container.command);
  v(container.args);
  v(container.script);
  v(container.working_dir);
  v(container.image_pull_policy);
  visit_resources(container.resources, v);
  for (auto& variable : container.env) visit_env(variable, v);
  for (auto& from : container.env_from) {
    v(from.name);
    v(from.prefix);
  }
  for (auto& mount : container.volume_mounts) {
    v(mount.name);
    v(mount.mount_path);
    v(mount.sub_path);
  }
  for (auto& device : container.volume_devices) {
    v(device.name);
    v(device.device_path);
  }
  for (auto& usage : container.workspaces) v(usage.mount_path);
}

template <class T, class V>
void visit_step(T& step, V& v) {
  visit_container(step, v);
  v(step.timeout);
  v(step.on_error);
  v(step.display_name);
  v(step.stdout_path);
  v(step.stderr_path);
  v(step.ref.name);
  for (auto& param : step.ref.params) v(param.value, param.at);
  for (auto& param : step.params) v(param.value, param.at);
  for (auto& when : step.when) visit_when(when, v);
}

template <class T, class V>
void visit_sidecar(T& sidecar, V& v) {
  visit_container(sidecar, v);
  for (auto* probe : {&sidecar.readiness, &sidecar.startup, &sidecar.liveness})
    if (*probe) {
      v((*probe)->command);
      v((*probe)->path);
      v((*probe)->port);
      v((*probe)->host);
      for (auto& header : (*probe)->headers) v(header.value);
    }
}

template <class T, class V>
void visit_matrix(T& matrix, V& v) {
  for (auto& param : matrix.params) v(param.value, param.at);
  for (auto& include : matrix.include)
    for (auto& param : include.params) v(param.value, param.at);
}

using TextVisit = std::function<void(std::string_view, Position, ArrayUse)>;

void for_each_text(const ParamValue& value, Position at, const TextVisit& visit);
void for_each_text(const Param& param, const TextVisit& visit);
void for_each_text(const When& when, const TextVisit& visit);
void for_each_text(const Matrix& matrix, const TextVisit& visit);
void for_each_text(const Step& step, const TextVisit& visit);
void for_each_text(const Sidecar& sidecar, const TextVisit& visit);
void for_each_text(const Volume& volume, const TextVisit& visit);
// Of a whole task: template, steps, sidecars, volumes, and results taken from step results.
void for_each_text(const TaskSpec& spec, const TextVisit& visit);

}  // namespace kiln::dag
