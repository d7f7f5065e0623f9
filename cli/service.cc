#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "base/text.h"
#include "cli/api_client.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

struct ServiceOptions {
  std::string name, name_space = "default", output, to;
  std::vector<std::string> shares;
};

std::string ready_text(const json& object) {
  for (const json& condition : object["status"]["conditions"])
    if (condition.value("type", "") == "Ready") {
      const std::string status = condition.value("status", "");
      return status == "True" ? "Ready" : status + " (" + condition.value("reason", "") + ")";
    }
  return "Unknown";
}

void list(const ServiceOptions& options, Context& context) {
  ApiClient api(context);
  const json services = api.call("GET", "namespaces/" + options.name_space + "/services");
  if (options.output == "json") return print(json_text(services));
  std::vector<std::vector<std::string>> rows{{"NAME", "URL", "LATEST READY", "STATE"}};
  for (const json& service : services["items"])
    rows.push_back({service["metadata"].value("name", ""), service["status"].value("url", ""),
                    service["status"].value("latestReadyRevisionName", "-"), ready_text(service)});
  print(table(rows));
}

void describe(const ServiceOptions& options, Context& context) {
  ApiClient api(context);
  const std::string base = "namespaces/" + options.name_space;
  const json service = api.call("GET", base + "/services/" + options.name);
  if (options.output == "json") return print(json_text(service));
  print("Name:   " + options.name + "\nURL:    " + service["status"].value("url", "") + "\n");
  for (const json& condition : service["status"]["conditions"]) {
    const std::string message = condition.value("message", "");
    print("        " + condition.value("type", "") + "=" + condition.value("status", "") +
          (message.empty() ? "" : "  " + message) + "\n");
  }
  std::vector<std::vector<std::string>> rows{{"REVISION", "TRAFFIC", "STATE", "INSTANCES", "CREATED"}};
  std::map<std::string, int> traffic;
  for (const json& target : service["status"]["traffic"])
    traffic[target.value("revisionName", "")] += target.value("percent", 0);
  const json revisions = api.call("GET", base + "/revisions");
  for (const json& revision : revisions["items"]) {
    const std::string name = revision["metadata"].value("name", "");
    if (revision["metadata"]["labels"].value("serving.knative.dev/service", "") != options.name) continue;
    rows.push_back({name, std::to_string(traffic[name]) + " %", ready_text(revision),
                    std::to_string(revision["status"].value("actualReplicas", 0)),
                    revision["metadata"].value("creationTimestamp", "")});
  }
  print("\n" + table(rows));
}

// Sends the traffic where `targets` say; the template stays, so no new revision comes of it.
void set_traffic(const ServiceOptions& options, Context& context, const json& targets) {
  ApiClient api(context);
  const std::string path = "namespaces/" + options.name_space + "/services/" + options.name;
  json service = api.call("GET", path);
  service.erase("status");
  service["spec"]["traffic"] = targets;
  const json changed = api.call("PUT", path, service);
  for (const json& target : changed["status"]["traffic"])
    print(target.value("revisionName", "") + "  " + std::to_string(target.value("percent", 0)) + " %\n");
}

void traffic(const ServiceOptions& options, Context& context) {
  json targets = json::array();
  for (const std::string& share : options.shares) {
    const size_t equals = share.find('=');
    const int percent = equals == std::string::npos ? -1 : std::atoi(share.c_str() + equals + 1);
    if (percent < 0)
      throw Error(ErrorKind::Usage, "\"" + share + "\" is no share",
                  "write REVISION=PERCENT or @latest=PERCENT");
    json target = {{"percent", percent}};
    if (share.starts_with("@latest="))
      target["latestRevision"] = true;
    else
      target["revisionName"] = share.substr(0, equals);
    targets.push_back(target);
  }
  set_traffic(options, context, targets);
}

void rollback(const ServiceOptions& options, Context& context) {
  ApiClient api(context);
  std::string target = options.to;
  if (target.empty()) {
    const json service = api.call("GET", "namespaces/" + options.name_space + "/services/" + options.name);
    std::string current;
    for (const json& entry : service["status"]["traffic"])
      if (entry.value("percent", 0) > 0) current = entry.value("revisionName", "");
    // In order of generation: the ready one before the one that has the traffic.
    const json revisions = api.call("GET", "namespaces/" + options.name_space + "/revisions");
    for (const json& revision : revisions["items"]) {
      const std::string name = revision["metadata"].value("name", "");
      if (revision["metadata"]["labels"].value("serving.knative.dev/service", "") != options.name) continue;
      if (name == current) break;
      if (ready_text(revision) == "Ready") target = name;
    }
    if (target.empty())
      throw Error(ErrorKind::Failed, "service " + options.name + " has no earlier ready revision",
                  "`kiln service describe " + options.name + "` lists what there is");
  }
  set_traffic(options, context, json::array({{{"revisionName", target}, {"percent", 100}}}));
}

}  // namespace

void add_service(CLI::App& app, Context& context) {
  CLI::App* verb = app.add_subcommand("service",
                                      "Services and their revisions\n\n"
                                      "  kiln service list\n"
                                      "  kiln service rollback hello\n");
  verb->require_subcommand(1);
  auto options = std::make_shared<ServiceOptions>();
  const auto common = [&](CLI::App* sub, bool named) {
    if (named) sub->add_option("name", options->name, "Name of the service")->required();
    sub->add_option("-n,--namespace", options->name_space, "Namespace")->capture_default_str();
    return sub;
  };
  CLI::App* lister = common(verb->add_subcommand("list", "List services"), false);
  add_output_option(*lister, options->output);
  lister->callback([options, &context] { list(*options, context); });
  CLI::App* describer = common(verb->add_subcommand("describe", "Show one service and its revisions"), true);
  add_output_option(*describer, options->output);
  describer->callback([options, &context] { describe(*options, context); });
  CLI::App* director =
      common(verb->add_subcommand("traffic",
                                  "Set traffic shares\n\n"
                                  "  kiln service traffic hello hello-00001=90 @latest=10\n"),
             true);
  director->add_option("shares", options->shares, "REVISION=PERCENT …, sum 100")->required();
  director->callback([options, &context] { traffic(*options, context); });
  CLI::App* back = common(
      verb->add_subcommand("rollback", "Send all traffic to the ready revision before this one"), true);
  back->add_option("--to", options->to, "This revision instead");
  back->callback([options, &context] { rollback(*options, context); });
  CLI::App* remover = common(verb->add_subcommand("delete", "Delete a service and its revisions"), true);
  remover->callback([options, &context] {
    ApiClient(context).call("DELETE", "namespaces/" + options->name_space + "/services/" + options->name);
    print("deleted " + options->name + "\n");
  });
}

}  // namespace kiln::cli
