#include "serving/container_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/clock.h"

namespace kiln::serving {
namespace {

using nlohmann::json;

constexpr int kMaxScale = 1000;  // instances of one revision on one machine
constexpr int kDefaultTimeout = 300, kMaxTimeout = 600, kMaxConcurrency = 1000;

// Kubernetes quantities: "128Mi", "1.5", "500m"; nullopt when malformed, negative or beyond all machines.
std::optional<double> quantity(const json& value) {
  double number = 0;
  std::string unit;
  if (value.is_number()) {
    number = value.get<double>();
  } else if (value.is_string()) {
    const std::string text = value.get<std::string>();
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    unit.assign(rest, text.data() + text.size());
  } else {
    return std::nullopt;
  }
  static const std::map<std::string, double> kUnits = {
      {"", 1},     {"m", 1e-3},    {"k", 1e3},        {"M", 1e6},           {"G", 1e9},     {"T", 1e12},
      {"P", 1e15}, {"Ki", 1024.0}, {"Mi", 1048576.0}, {"Gi", 1073741824.0}, {"Ti", 0x1p40}, {"Pi", 0x1p50}};
  const auto found = kUnits.find(unit);
  if (found == kUnits.end()) return std::nullopt;
  number *= found->second;
  if (!(number >= 0 && number <= 0x1p60)) return std::nullopt;
  return number;
}

void read_env(Fields& fields, const json& container, const std::string& path,
              std::map<std::string, std::string>& env) {
  const json& list = fields.list(container, "env", path);
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string at = path + "[" + std::to_string(i) + "]";
    if (!list[i].is_object()) {
      fields.problem(at, std::string("expected an object, got ") + list[i].type_name());
      continue;
    }
    if (!member(list[i], "valueFrom").is_null())
      fields.problem(at + ".valueFrom",
                     "not supported here: there are no ConfigMaps and Secrets to read from");
    fields.known(list[i], at, {"name", "value", "valueFrom"});
    const std::string name = fields.text(list[i], "name", at + ".name");
    if (name.empty()) {
      fields.problem(at + ".name", "missing field(s)");
      continue;
    }
    if (name.find('=') != std::string::npos) fields.problem(at + ".name", "a name must not contain \"=\"");
    for (const char* reserved : {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"})
      if (name == reserved)
        fields.problem(at + ".name", "\"" + name + "\" is a reserved environment variable");
    env[name] = fields.text(list[i], "value", at + ".value");
  }
}

void read_ports(Fields& fields, const json& container, const std::string& path, int& port) {
  const json& list = fields.list(container, "ports", path);
  if (list.size() > 1) fields.problem(path, "more than one port is set");
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string at = path + "[" + std::to_string(i) + "]";
    if (!list[i].is_object()) {
      fields.problem(at, std::string("expected an object, got ") + list[i].type_name());
      continue;
    }
    fields.known(list[i], at, {"name", "containerPort", "protocol"});
    const std::string name = fields.text(list[i], "name", at + ".name");
    if (name == "h2c")
      fields.problem(at + ".name", "h2c is not supported here, only http1");
    else if (!name.empty() && name != "http1")
      fields.problem(at + ".name", "port name " + name + " is not allowed (http1, h2c)");
    if (const auto protocol = fields.text(list[i], "protocol", at + ".protocol");
        !protocol.empty() && protocol != "TCP")
      fields.problem(at + ".protocol", "expected TCP, got " + protocol);
    port = fields.integer(list[i], "containerPort", at + ".containerPort", 8080, 1, 65535);
  }
}

void read_container(Fields& fields, const json& spec, ContainerSettings& settings) {
  const std::string path = "spec.template.spec.containers";
  const json& containers = fields.list(spec, "containers", path);
  if (containers.size() != 1) return fields.problem(path, "expected exactly one container");
  const json& container = containers[0];
  const std::string at = path + "[0]";
  if (!container.is_object())
    return fields.problem(at, std::string("expected an object, got ") + container.type_name());
  for (const char* key : {"envFrom", "volumeMounts", "volumeDevices", "lifecycle"})
    if (const json& value = member(container, key); !value.is_null() && !value.empty())
      fields.problem(at + "." + key, "not supported here");
  fields.known(
      container, at,
      {"name", "image", "imagePullPolicy", "command", "args", "env", "envFrom", "workingDir", "ports",
       "resources", "livenessProbe", "readinessProbe", "startupProbe", "securityContext",
       "terminationMessagePath", "terminationMessagePolicy", "volumeMounts", "volumeDevices", "lifecycle"});
  settings.image = fields.text(container, "image", at + ".image");
  if (settings.image.empty()) fields.problem(at + ".image", "missing field(s)");
  settings.command = fields.texts(container, "command", at + ".command");
  settings.args = fields.texts(container, "args", at + ".args");
  settings.working_dir = fields.text(container, "workingDir", at + ".workingDir");
  if (!settings.working_dir.empty() && settings.working_dir[0] != '/')
    fields.problem(at + ".workingDir", "expected an absolute path");
  read_env(fields, container, at + ".env", settings.env);
  read_ports(fields, container, at + ".ports", settings.port);
  const json& resources = fields.object(container, "resources", at + ".resources");
  const json& limits = fields.object(resources, "limits", at + ".resources.limits");
  const auto limit = [&](const char* key) {
    const json& value = member(limits, key);
    if (value.is_null()) return 0.0;
    const auto amount = quantity(value);
    if (!amount) fields.problem(at + ".resources.limits." + key, "not a quantity: " + value.dump());
    return amount.value_or(0);
  };
  settings.memory_bytes = static_cast<uint64_t>(std::llround(limit("memory")));
  settings.cpus = limit("cpu");
}

void read_scaling(Fields& fields, const json& revision_template, ContainerSettings& settings) {
  const std::string path = "spec.template.metadata.annotations";
  const json& metadata = fields.object(revision_template, "metadata", "spec.template.metadata");
  const auto annotations = fields.text_map(metadata, "annotations", path);
  const auto find = [&](const std::string& key) {
    const auto found = annotations.find(key);
    return found == annotations.end() ? nullptr : &found->second;
  };
  const auto scale = [&](const std::string& name, const std::string& older) {
    for (const std::string& key : {"autoscaling.knative.dev/" + name, "autoscaling.knative.dev/" + older}) {
      const std::string* text = find(key);
      if (!text) continue;
      int number = 0;
      const auto [rest, error] = std::from_chars(text->data(), text->data() + text->size(), number);
      if (error == std::errc{} && rest == text->data() + text->size() && number >= 0 && number <= kMaxScale)
        return number;
      fields.problem(path + "[" + key + "]", "expected 0 <= " + *text + " <= " + std::to_string(kMaxScale));
    }
    return 0;
  };
  settings.min_scale = scale("min-scale", "minScale");
  settings.max_scale = scale("max-scale", "maxScale");
  if (settings.max_scale > 0 && settings.max_scale < settings.min_scale)
    fields.problem(path, "max-scale=" + std::to_string(settings.max_scale) +
                             " is less than min-scale=" + std::to_string(settings.min_scale));
  const auto time = [&](const std::string& key, std::chrono::seconds low, std::chrono::seconds high,
                        std::chrono::seconds& into) {
    const std::string* text = find(key);
    if (!text) return;
    const auto value = parse_duration(*text);
    if (!value || *value < low || *value > high)
      return fields.problem(path + "[" + key + "]", "expected " + std::to_string(low.count()) + "s <= " +
                                                        *text + " <= " + std::to_string(high.count()) + "s");
    into = std::chrono::duration_cast<std::chrono::seconds>(*value);
  };
  using std::chrono::seconds;
  time("autoscaling.knative.dev/window", seconds(6), seconds(3600), settings.window);
  time("serving.knative.dev/progress-deadline", seconds(1), seconds(86400), settings.progress_deadline);
}

}  // namespace

void read_container_settings(Fields& fields, const json& revision_template, ContainerSettings& settings) {
  const std::string path = "spec.template.spec";
  const json& spec = fields.object(revision_template, "spec", path);
  for (const char* key : {"volumes", "initContainers"})
    if (const json& value = member(spec, key); !value.is_null() && !value.empty())
      fields.problem(path + "." + key, "not supported here");
  fields.known(spec, path,
               {"containers", "initContainers", "containerConcurrency", "timeoutSeconds",
                "responseStartTimeoutSeconds", "idleTimeoutSeconds", "serviceAccountName", "volumes",
                "enableServiceLinks", "imagePullSecrets"});
  read_container(fields, spec, settings);
  settings.concurrency =
      fields.integer(spec, "containerConcurrency", path + ".containerConcurrency", 0, 0, kMaxConcurrency);
  for (const char* key : {"responseStartTimeoutSeconds", "idleTimeoutSeconds"})
    fields.integer(spec, key, path + "." + key, 0, 0, kMaxTimeout);
  const int timeout =
      fields.integer(spec, "timeoutSeconds", path + ".timeoutSeconds", kDefaultTimeout, 0, kMaxTimeout);
  settings.timeout = std::chrono::seconds(timeout == 0 ? kDefaultTimeout : timeout);
  read_scaling(fields, revision_template, settings);
}

}  // namespace kiln::serving
