#include "base/text.h"
#include "dag/fields.h"
#include "dag/quantity.h"

namespace kiln::dag {
namespace {

void decode_value_from(DecodeContext& context, const Node& node, EnvVar& out) {
  Fields from(context, node, "valueFrom");
  size_t sources = 0;
  for (const auto& [field, kind] : {std::pair{"configMapKeyRef", EnvVar::From::ConfigMapKey},
                                    std::pair{"secretKeyRef", EnvVar::From::SecretKey}})
    if (const Node* ref = from.mapping(field)) {
      ++sources;
      Fields fields(context, *ref, field);
      out.from = kind;
      out.object = fields.text("name");
      out.key = fields.text("key");
      out.optional = fields.flag("optional");
      fields.done();
      if (out.object.empty() || out.key.empty())
        context.error(ref->at, std::string(field) + " needs a `name` and a `key`");
    }
  if (const Node* ref = from.mapping("fieldRef")) {
    ++sources;
    Fields fields(context, *ref, "fieldRef");
    out.from = EnvVar::From::Field;
    out.key = fields.text("fieldPath");
    fields.ignore({"apiVersion"});
    fields.done();
  }
  if (const Node* ref = from.mapping("resourceFieldRef")) {
    ++sources;
    Fields fields(context, *ref, "resourceFieldRef");
    out.from = EnvVar::From::ResourceField;
    out.key = fields.text("resource");
    out.object = fields.text("containerName");
    out.divisor = fields.scalar("divisor");
    fields.done();
    if (out.key.empty()) context.error(ref->at, "resourceFieldRef needs a `resource`");
  }
  from.ignore({"fileKeyRef"});
  from.done();
  if (sources != 1)
    context.error(node.at, std::string("expected exactly one, got ") + (sources == 0 ? "neither" : "both") +
                               ": configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef");
}

std::vector<EnvFrom> decode_env_from(DecodeContext& context, Fields& owner) {
  std::vector<EnvFrom> out;
  for (const Node* item : owner.items("envFrom")) {
    Fields fields(context, *item, "envFrom");
    EnvFrom from;
    from.prefix = fields.text("prefix");
    size_t sources = 0;
    for (const auto& [field, secret] : {std::pair{"configMapRef", false}, std::pair{"secretRef", true}})
      if (const Node* ref = fields.mapping(field)) {
        ++sources;
        Fields ref_fields(context, *ref, field);
        from.secret = secret;
        from.name = ref_fields.text("name");
        from.optional = ref_fields.flag("optional");
        ref_fields.done();
      }
    fields.done();
    if (sources != 1)
      context.error(item->at, std::string("expected exactly one, got ") +
                                  (sources == 0 ? "neither" : "both") + ": configMapRef, secretRef");
    else
      out.push_back(std::move(from));
  }
  return out;
}

std::vector<VolumeMount> decode_volume_mounts(DecodeContext& context, Fields& owner) {
  std::vector<VolumeMount> out;
  for (const Node* item : owner.items("volumeMounts")) {
    Fields fields(context, *item, "volume mount");
    VolumeMount mount{fields.text("name"), fields.text("mountPath"), fields.text("subPath"),
                      fields.text("subPathExpr"), fields.flag("readOnly")};
    fields.ignore({"mountPropagation", "recursiveReadOnly"});
    fields.done();
    if (!mount.sub_path.empty() && !mount.sub_path_expr.empty())
      context.error(mount.sub_path_expr.at, "subPathExpr and subPath are mutually exclusive",
                    "keep one of them");
    if (mount.name.empty()) context.error(item->at, "a volume mount needs a `name`");
    if (mount.mount_path.empty()) context.error(item->at, "a volume mount needs a `mountPath`");
    out.push_back(std::move(mount));
  }
  return out;
}

std::vector<WorkspaceUsage> decode_usages(DecodeContext& context, Fields& owner) {
  std::vector<WorkspaceUsage> out;
  for (const Node* item : owner.items("workspaces")) {
    Fields fields(context, *item, "workspace");
    out.push_back({fields.text("name"), fields.text("mountPath")});
    fields.done();
  }
  return out;
}

void decode_capabilities(DecodeContext& context, Fields& owner, SecurityContext& out) {
  const Node* node = owner.mapping("capabilities");
  if (node == nullptr) return;
  Fields fields(context, *node, "capabilities");
  out.add_capabilities = fields.texts("add");
  out.drop_capabilities = fields.texts("drop");
  fields.done();
}

}  // namespace

std::vector<EnvVar> decode_env(DecodeContext& context, Fields& owner) {
  std::vector<EnvVar> out;
  for (const Node* item : owner.items("env")) {
    Fields fields(context, *item, "environment variable");
    EnvVar variable;
    variable.name = fields.text("name");
    variable.value = fields.text("value");
    if (const Node* from = fields.mapping("valueFrom")) {
      decode_value_from(context, *from, variable);
      if (!variable.value.empty())
        context.error(variable.value.at, "`value` and `valueFrom` cannot be used together");
    }
    fields.done();
    if (variable.name.empty()) {
      context.error(item->at, "an environment variable needs a `name`");
      continue;
    }
    out.push_back(std::move(variable));
  }
  return out;
}

SecurityContext decode_security(DecodeContext& context, Fields& owner) {
  SecurityContext out;
  const Node* node = owner.mapping("securityContext");
  if (node == nullptr) return out;
  Fields fields(context, *node, "securityContext");
  out.run_as_user = fields.integer("runAsUser");
  out.run_as_group = fields.integer("runAsGroup");
  out.run_as_non_root = fields.optional_flag("runAsNonRoot");
  out.read_only_root = fields.optional_flag("readOnlyRootFilesystem");
  out.privileged = fields.optional_flag("privileged");
  out.allow_privilege_escalation = fields.optional_flag("allowPrivilegeEscalation");
  out.fs_group = fields.integer("fsGroup");
  for (const Node* group : fields.items("supplementalGroups"))
    if (const auto id = integer_of(context, *group, "supplementalGroups"))
      out.supplemental_groups.push_back(*id);
  decode_capabilities(context, fields, out);
  fields.ignore({"seLinuxOptions", "seccompProfile", "procMount", "windowsOptions", "appArmorProfile",
                 "sysctls", "fsGroupChangePolicy", "supplementalGroupsPolicy", "seLinuxChangePolicy"});
  fields.done();
  for (const auto& id : {out.run_as_user, out.run_as_group, out.fs_group})
    if (id && (*id < 0 || *id > 0x7FFFFFFF))
      context.error(node->at, "user and group ids are between 0 and 2147483647");
  return out;
}

ComputeResources decode_resources(DecodeContext& context, Fields& owner, std::string_view key) {
  ComputeResources out;
  const Node* node = owner.mapping(key);
  if (node == nullptr) return out;
  Fields fields(context, *node, "computeResources");
  const auto read = [&](std::string_view part, Text& cpu, Text& memory) {
    const Node* amounts = fields.mapping(part);
    if (amounts == nullptr) return;
    // Any other resource may be named too: ephemeral-storage, example.com/gpu.
    for (const Entry& entry : amounts->entries) {
      const Text amount = scalar_of(context, *entry.value, entry.key);
      if (!amount.empty() && amount.value.find("$(") == std::string::npos && !is_quantity(amount.value))
        context.error(amount.at, "invalid quantity \"" + amount.value.substr(0, 40) + "\" for " + entry.key,
                      "a number with a unit: 500m, 2, 128Mi, 1Gi");
      if (entry.key == "cpu") cpu = amount;
      if (entry.key == "memory") memory = amount;
    }
  };
  read("limits", out.cpu_limit, out.memory_limit);
  read("requests", out.cpu_request, out.memory_request);
  fields.ignore({"claims"});
  fields.done();
  return out;
}

std::optional<Probe> decode_probe(DecodeContext& context, Fields& owner, std::string_view key) {
  const Node* node = owner.mapping(key);
  if (node == nullptr) return std::nullopt;
  Fields fields(context, *node, key);
  Probe out;
  out.at = node->at;
  if (const Node* exec = fields.mapping("exec")) {
    Fields action(context, *exec, "exec");
    out.command = action.texts("command");
    action.done();
  }
  for (const auto& [field, kind] :
       {std::pair{"httpGet", Probe::Kind::HttpGet}, std::pair{"tcpSocket", Probe::Kind::TcpSocket},
        std::pair{"grpc", Probe::Kind::Grpc}})
    if (const Node* found = fields.mapping(field)) {
      Fields action(context, *found, field);
      out.kind = kind;
      out.path = action.text("path");
      out.port = action.scalar("port");
      out.scheme = action.text("scheme");
      out.host = action.text("host");
      out.service = action.text("service");
      for (const Node* item : action.items("httpHeaders")) {
        Fields header(context, *item, "httpHeaders");
        out.headers.push_back({header.text("name"), header.text("value")});
        header.done();
      }
      action.done();
    }
  const auto count = [&](std::string_view name, int64_t& value) {
    if (const auto given = fields.integer(name)) value = *given;
  };
  count("initialDelaySeconds", out.initial_delay);
  count("periodSeconds", out.period);
  count("timeoutSeconds", out.timeout);
  count("successThreshold", out.success_threshold);
  count("failureThreshold", out.failure_threshold);
  out.termination_grace = fields.integer("terminationGracePeriodSeconds");
  fields.done();
  return out;
}

std::vector<ContainerPort> decode_ports(DecodeContext& context, Fields& owner) {
  std::vector<ContainerPort> out;
  for (const Node* item : owner.items("ports")) {
    Fields port(context, *item, "ports");
    out.push_back({port.text("name"), port.integer("containerPort").value_or(0)});
    port.ignore({"protocol", "hostPort", "hostIP"});
    port.done();
  }
  return out;
}

void decode_container(DecodeContext& context, Fields& fields, Container& out) {
  out.image = fields.text("image");
  if (fields.reported("image")) out.image.value = "unreadable";  // which is not missing
  out.command = fields.texts("command");
  out.args = fields.texts("args");
  out.script = fields.text("script");
  out.working_dir = fields.text("workingDir");
  out.env = decode_env(context, fields);
  out.env_from = decode_env_from(context, fields);
  out.volume_mounts = decode_volume_mounts(context, fields);
  out.workspaces = decode_usages(context, fields);
  out.image_pull_policy = fields.text("imagePullPolicy");
  out.resources = decode_resources(context, fields, "computeResources");
  out.security = decode_security(context, fields);
  for (const Node* item : fields.items("volumeDevices")) {
    Fields device(context, *item, "volume device");
    out.volume_devices.push_back({device.text("name"), device.text("devicePath")});
    device.done();
  }
  fields.ignore({"terminationMessagePath", "terminationMessagePolicy"});
}

}  // namespace kiln::dag
