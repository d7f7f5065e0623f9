#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "cli/api_client.h"
#include "cli/context.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/yaml_json.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

struct DeployOptions {
  std::string file, service, image, name_space = "default", revision_file, url_file;
  std::vector<std::string> env;
  int port = 0, concurrency = -1, timeout = 600;
  bool json_output = false;
};

// The service as it is, with the image and settings of the command line.
json changed_service(ApiClient& api, const DeployOptions& options) {
  json document;
  try {
    document = api.call("GET", "namespaces/" + options.name_space + "/services/" + options.service);
    document.erase("status");
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;
    document = {{"apiVersion", "serving.knative.dev/v1"},
                {"kind", "Service"},
                {"metadata", {{"name", options.service}, {"namespace", options.name_space}}},
                {"spec", {{"template", {{"spec", {{"containers", json::array({json::object()})}}}}}}}};
  }
  document["metadata"] = {{"name", options.service},
                          {"namespace", options.name_space},
                          {"labels", document["metadata"].value("labels", json::object())},
                          {"annotations", document["metadata"].value("annotations", json::object())}};
  json& spec = document["spec"]["template"]["spec"];
  // A revision's own name belongs to that revision only.
  if (document["spec"]["template"].contains("metadata"))
    document["spec"]["template"]["metadata"].erase("name");
  json& container = spec["containers"][0];
  container["image"] = options.image;
  if (options.port > 0) container["ports"] = json::array({{{"containerPort", options.port}}});
  if (options.concurrency >= 0) spec["containerConcurrency"] = options.concurrency;
  for (const std::string& pair : options.env) {
    const auto [name, value] = split_pair("--env", pair);
    json kept = json::array();
    for (const json& variable : container.value("env", json::array()))
      if (variable.value("name", "") != name) kept.push_back(variable);
    kept.push_back({{"name", name}, {"value", value}});
    container["env"] = kept;
  }
  return document;
}

const json* find_condition(const json& object, const char* type) {
  for (const json& condition : object["status"]["conditions"])
    if (condition.value("type", "") == type) return &condition;
  return nullptr;
}

void deploy(const DeployOptions& options, Context& context) {
  if (options.file.empty() == (options.service.empty() || options.image.empty()))
    throw Error(ErrorKind::Usage, "name what to deploy", "-f service.yaml, or --service NAME --image REF");
  ApiClient api(context);
  json document;
  if (options.file.empty()) {
    document = changed_service(api, options);
  } else {
    document = yaml_to_json(read_file(options.file, 4 << 20), options.file);
    if (!document.is_object() || !document.contains("metadata") || !document["metadata"].is_object())
      throw Error(ErrorKind::Invalid, options.file + " holds no Service",
                  "write kind, metadata.name and spec");
    if (!document["metadata"].contains("namespace")) document["metadata"]["namespace"] = options.name_space;
  }
  const std::string name = document.value("metadata", json::object()).value("name", options.service);
  const std::string name_space = document["metadata"].value("namespace", options.name_space);
  const std::string path = "namespaces/" + name_space + "/services/" + name;
  const json stored = api.call("PUT", path, document);
  const std::string revision = stored["status"].value("latestCreatedRevisionName", "");
  const json service =
      api.call("GET", path + "?ready=" + revision + "&timeoutSeconds=" + std::to_string(options.timeout));
  const json state = api.call("GET", "namespaces/" + name_space + "/revisions/" + revision);
  const json* ready = find_condition(state, "Ready");
  const std::string status = ready ? ready->value("status", "") : "";
  if (status == "False")
    throw Error(ErrorKind::Failed, "revision " + revision + " failed: " + ready->value("message", ""),
                "the revision before it, if there was one, still answers");
  if (status != "True")
    throw Error(ErrorKind::TimedOut,
                "revision " + revision + " is not ready after " + std::to_string(options.timeout) + " s");
  const std::string url = service["status"].value("url", "");
  if (!options.revision_file.empty()) write_file(options.revision_file, revision);
  if (!options.url_file.empty()) write_file(options.url_file, url);
  for (const json& target : service["status"]["traffic"])
    say("revision " + target.value("revisionName", "") + ": " + std::to_string(target.value("percent", 0)) +
        " % of the traffic");
  print(options.json_output ? json_text(service) : url + "\n");
}

}  // namespace

void add_deploy(CLI::App& app, Context& context) {
  auto options = std::make_shared<DeployOptions>();
  CLI::App* verb = app.add_subcommand("deploy",
                                      "Publish a new revision and wait until it is ready\n\n"
                                      "  kiln deploy --service hello --image localhost:8080/hello\n"
                                      "  kiln deploy -f service.yaml\n");
  verb->add_option("-f,--file", options->file, "A serving.knative.dev/v1 Service (YAML or JSON)");
  verb->add_option("--service", options->service, "Name of the service");
  verb->add_option("--image", options->image, "Image of the new revision");
  verb->add_option("-n,--namespace", options->name_space, "Namespace")->capture_default_str();
  verb->add_option("-e,--env", options->env, "NAME=value for the container");
  verb->add_option("--port", options->port, "Port the container listens on (default 8080)");
  verb->add_option("--concurrency-limit", options->concurrency, "Requests at once per instance; 0: no limit");
  verb->add_option("--wait-timeout", options->timeout, "Seconds to wait for the revision")
      ->capture_default_str();
  verb->add_option("--revision-file", options->revision_file,
                   "Write the revision's name here (a Tekton result)");
  verb->add_option("--url-file", options->url_file, "Write the service's URL here (a Tekton result)");
  verb->add_flag("--json", options->json_output, "Print the Service object");
  verb->callback([options, &context] { deploy(*options, context); });
}

}  // namespace kiln::cli
