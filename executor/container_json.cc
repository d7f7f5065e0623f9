#include "executor/container_json.h"

#include "executor/param_json.h"
#include "executor/spec_json.h"

namespace kiln::executor {

using nlohmann::json;

void put(json& out, const char* key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}

void put(json& out, const char* key, const std::vector<dag::Text>& values) {
  for (const dag::Text& value : values) out[key].push_back(value.value);
}

void put(json& out, const char* key, json value) {
  if (!value.empty()) out[key] = std::move(value);
}

namespace {

json items_json(const std::vector<dag::KeyToPath>& items, bool downward) {
  json out = json::array();
  for (const dag::KeyToPath& item : items) {
    json one{{"path", item.path.value}};
    if (!downward) {
      one["key"] = item.key.value;
    } else if (item.resource) {
      one["resourceFieldRef"]["resource"] = item.key.value;
      put(one["resourceFieldRef"], "containerName", item.container.value);
      put(one["resourceFieldRef"], "divisor", item.divisor.value);
    } else {
      one["fieldRef"]["fieldPath"] = item.key.value;
    }
    if (item.mode) one["mode"] = *item.mode;
    out.push_back(std::move(one));
  }
  return out;
}

json object_source(const char* name_field, const dag::VolumeSource& source) {
  json out{{name_field, source.name.value}};
  put(out, "items", items_json(source.items, false));
  if (source.default_mode) out["defaultMode"] = *source.default_mode;
  if (source.optional) out["optional"] = true;
  return out;
}

json projected_json(const dag::VolumeSource& source) {
  using Kind = dag::VolumeSource::Kind;
  json list = json::array();
  for (const dag::VolumeSource& inner : source.sources) {
    if (inner.kind == Kind::ConfigMap) list.push_back({{"configMap", object_source("name", inner)}});
    if (inner.kind == Kind::Secret) list.push_back({{"secret", object_source("name", inner)}});
    if (inner.kind == Kind::DownwardApi)
      list.push_back({{"downwardAPI", {{"items", items_json(inner.items, true)}}}});
    if (inner.kind == Kind::ServiceAccountToken)
      list.push_back({{"serviceAccountToken", {{"path", inner.name.value}}}});
  }
  json out{{"sources", std::move(list)}};
  if (source.default_mode) out["defaultMode"] = *source.default_mode;
  return out;
}

json env_json(const std::vector<dag::EnvVar>& variables) {
  using From = dag::EnvVar::From;
  json out = json::array();
  for (const dag::EnvVar& variable : variables) {
    json one{{"name", variable.name.value}};
    json from = json::object();
    if (variable.from == From::Value) one["value"] = variable.value.value;
    if (variable.from == From::ConfigMapKey || variable.from == From::SecretKey) {
      json& key = from[variable.from == From::SecretKey ? "secretKeyRef" : "configMapKeyRef"];
      key = {{"name", variable.object.value}, {"key", variable.key.value}};
      if (variable.optional) key["optional"] = true;
    }
    if (variable.from == From::Field) from["fieldRef"]["fieldPath"] = variable.key.value;
    if (variable.from == From::ResourceField) {
      from["resourceFieldRef"]["resource"] = variable.key.value;
      put(from["resourceFieldRef"], "containerName", variable.object.value);
      put(from["resourceFieldRef"], "divisor", variable.divisor.value);
    }
    put(one, "valueFrom", std::move(from));
    out.push_back(std::move(one));
  }
  return out;
}

json env_from_json(const std::vector<dag::EnvFrom>& sources) {
  json out = json::array();
  for (const dag::EnvFrom& source : sources) {
    json one = json::object();
    json& object = one[source.secret ? "secretRef" : "configMapRef"];
    object = {{"name", source.name.value}};
    if (source.optional) object["optional"] = true;
    put(one, "prefix", source.prefix.value);
    out.push_back(std::move(one));
  }
  return out;
}

json resources_json(const dag::ComputeResources& resources) {
  json limits = json::object(), requests = json::object(), out = json::object();
  put(limits, "cpu", resources.cpu_limit.value);
  put(limits, "memory", resources.memory_limit.value);
  put(requests, "cpu", resources.cpu_request.value);
  put(requests, "memory", resources.memory_request.value);
  put(out, "limits", std::move(limits));
  put(out, "requests", std::move(requests));
  return out;
}

json security_json(const dag::SecurityContext& security) {
  json out = json::object(), capabilities = json::object();
  if (security.run_as_user) out["runAsUser"] = *security.run_as_user;
  if (security.run_as_group) out["runAsGroup"] = *security.run_as_group;
  if (security.run_as_non_root) out["runAsNonRoot"] = *security.run_as_non_root;
  if (security.read_only_root) out["readOnlyRootFilesystem"] = *security.read_only_root;
  if (security.privileged) out["privileged"] = *security.privileged;
  if (security.allow_privilege_escalation)
    out["allowPrivilegeEscalation"] = *security.allow_privilege_escalation;
  put(capabilities, "add", security.add_capabilities);
  put(capabilities, "drop", security.drop_capabilities);
  put(out, "capabilities", std::move(capabilities));
  return out;
}

json container_json(const dag::Container& container) {
  json out = json::object();
  put(out, "name", container.name.value);
  put(out, "image", container.image.value);
  put(out, "command", container.command);
  put(out, "args", container.args);
  put(out, "script", container.script.value);
  put(out, "workingDir", container.working_dir.value);
  put(out, "env", env_json(container.env));
  put(out, "envFrom", env_from_json(container.env_from));
  for (const dag::VolumeMount& mount : container.volume_mounts) {
    json one{{"name", mount.name.value}, {"mountPath", mount.mount_path.value}};
    put(one, "subPath", mount.sub_path.value);
    put(one, "subPathExpr", mount.sub_path_expr.value);
    if (mount.read_only) one["readOnly"] = true;
    out["volumeMounts"].push_back(std::move(one));
  }
  for (const dag::VolumeDevice& device : container.volume_devices)
    out["volumeDevices"].push_back({{"name", device.name.value}, {"devicePath", device.device_path.value}});
  for (const dag::WorkspaceUsage& workspace : container.workspaces)
    out["workspaces"].push_back({{"name", workspace.name.value}, {"mountPath", workspace.mount_path.value}});
  put(out, "imagePullPolicy", container.image_pull_policy.value);
  put(out, "computeResources", resources_json(container.resources));
  put(out, "securityContext", security_json(container.security));
  return out;
}

json probe_json(const dag::Probe& probe) {
  using Kind = dag::Probe::Kind;
  json out{{"initialDelaySeconds", probe.initial_delay},
           {"periodSeconds", probe.period},
           {"timeoutSeconds", probe.timeout},
           {"successThreshold", probe.success_threshold},
           {"failureThreshold", probe.failure_threshold}};
  const auto port = [&] {
    const bool number = probe.port.value.find_first_not_of("0123456789") == std::string::npos;
    return number && !probe.port.empty() ? json(std::stol(probe.port.value)) : json(probe.port.value);
  };
  if (probe.kind == Kind::Exec) {
    out["exec"] = json::object();
    put(out["exec"], "command", probe.command);
  }
  if (probe.kind == Kind::HttpGet) {
    out["httpGet"] = {{"port", port()}};
    put(out["httpGet"], "path", probe.path.value);
    put(out["httpGet"], "scheme", probe.scheme.value);
    put(out["httpGet"], "host", probe.host.value);
    for (const dag::ProbeHeader& header : probe.headers)
      out["httpGet"]["httpHeaders"].push_back({{"name", header.name.value}, {"value", header.value.value}});
  }
  if (probe.kind == Kind::TcpSocket) {
    out["tcpSocket"] = {{"port", port()}};
    put(out["tcpSocket"], "host", probe.host.value);
  }
  if (probe.kind == Kind::Grpc) {
    out["grpc"] = {{"port", port()}};
    put(out["grpc"], "service", probe.service.value);
  }
  if (probe.termination_grace) out["terminationGracePeriodSeconds"] = *probe.termination_grace;
  return out;
}

}  // namespace

json result_specs_json(const std::vector<dag::ResultSpec>& results) {
  json out = json::array();
  for (const dag::ResultSpec& result : results) {
    json one{{"name", result.name.value}, {"type", dag::to_string(result.type)}};
    put(one, "description", result.description);
    for (const std::string& key : result.properties) one["properties"][key] = {{"type", "string"}};
    if (result.value) one["value"] = value_json(*result.value);
    out.push_back(std::move(one));
  }
  return out;
}

json volume_source_json(const dag::VolumeSource& source) {
  using Kind = dag::VolumeSource::Kind;
  switch (source.kind) {
    case Kind::EmptyDir: {
      json out = json::object();
      put(out, "medium", source.medium.value);
      put(out, "sizeLimit", source.size_limit.value);
      return {{"emptyDir", std::move(out)}};
    }
    case Kind::PersistentVolumeClaim: {
      json out{{"claimName", source.name.value}};
      if (source.read_only) out["readOnly"] = true;
      return {{"persistentVolumeClaim", std::move(out)}};
    }
    case Kind::HostPath:
      return {{"hostPath", {{"path", source.name.value}}}};
    case Kind::ConfigMap:
      return {{"configMap", object_source("name", source)}};
    case Kind::Secret:
      return {{"secret", object_source("secretName", source)}};
    case Kind::Projected:
      return {{"projected", projected_json(source)}};
    case Kind::DownwardApi:
      return {{"downwardAPI", {{"items", items_json(source.items, true)}}}};
    case Kind::Csi:
      return {{"csi", {{"driver", source.name.value}}}};
    case Kind::ServiceAccountToken:
    case Kind::Other:
      break;
  }
  return nullptr;
}

json volume_json(const dag::Volume& volume) {
  json out{{"name", volume.name.value}};
  if (const json source = volume_source_json(volume.source); !source.is_null()) out.update(source);
  return out;
}

json step_json(const dag::Step& step) {
  json out = container_json(step);
  put(out, "displayName", step.display_name.value);
  put(out, "timeout", step.timeout.value);
  put(out, "onError", step.on_error.value);
  put(out, "results", result_specs_json(step.results));
  put(out, "when", when_json(step.when));
  if (!step.stdout_path.empty()) out["stdoutConfig"]["path"] = step.stdout_path.value;
  if (!step.stderr_path.empty()) out["stderrConfig"]["path"] = step.stderr_path.value;
  if (step.ref.given() && step.image.empty()) {  // not put in: it is still a reference
    out["ref"] = json::object();
    put(out["ref"], "name", step.ref.name.value);
    put(out["ref"], "resolver", step.ref.resolver.value);
    put(out["ref"], "params", params_json(step.ref.params));
    put(out, "params", params_json(step.params));
    out.erase("results");
  }
  return out;
}

json sidecar_json(const dag::Sidecar& sidecar) {
  json out = container_json(sidecar);
  if (sidecar.readiness) out["readinessProbe"] = probe_json(*sidecar.readiness);
  if (sidecar.startup) out["startupProbe"] = probe_json(*sidecar.startup);
  if (sidecar.liveness) out["livenessProbe"] = probe_json(*sidecar.liveness);
  put(out, "restartPolicy", sidecar.restart_policy.value);
  for (const dag::ContainerPort& port : sidecar.ports) {
    json one{{"containerPort", port.number}};
    put(one, "name", port.name.value);
    out["ports"].push_back(std::move(one));
  }
  return out;
}

}  // namespace kiln::executor
