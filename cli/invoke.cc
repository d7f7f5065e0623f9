#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "base/http_client.h"
#include "cli/api_client.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace kiln::cli {
namespace {

struct InvokeOptions {
  std::string name, name_space = "default", data, method, path = "/", type = "application/json";
};

void invoke(const InvokeOptions& options, Context& context) {
  ApiClient api(context);
  const auto service = api.call("GET", "namespaces/" + options.name_space + "/services/" + options.name);
  const std::string url = service["status"].value("url", "");
  // Straight to the server, with the service's name as Host: no name resolution is needed.
  HttpRequest request;
  request.method = !options.method.empty() ? options.method : options.data.empty() ? "GET" : "POST";
  request.url = api.url() + (options.path.starts_with("/") ? "" : "/") + options.path;
  request.headers.set("Host", url.substr(url.find("://") + 3));
  if (!options.data.empty()) {
    request.headers.set("Content-Type", options.type);
    request.body = HttpBody::of_text(options.data);
  }
  const HttpResponse response = HttpClient().send(request, {}, context.stop());
  print(response.body);
  if (!response.ok())
    throw Error(ErrorKind::Failed, options.name + " answered with status " + std::to_string(response.status));
}

}  // namespace

void add_invoke(CLI::App& app, Context& context) {
  auto options = std::make_shared<InvokeOptions>();
  CLI::App* verb = app.add_subcommand("invoke",
                                      "Send a request to a service and print the answer\n\n"
                                      "  kiln invoke hello\n"
                                      "  kiln invoke hello --data '{\"name\":\"Ada\"}'\n");
  verb->add_option("name", options->name, "Name of the service")->required();
  verb->add_option("-n,--namespace", options->name_space, "Namespace")->capture_default_str();
  verb->add_option("-d,--data", options->data, "Body; makes it a POST");
  verb->add_option("-X,--method", options->method, "Method");
  verb->add_option("--path", options->path, "Path and query")->capture_default_str();
  verb->add_option("--content-type", options->type, "Type of the body")->capture_default_str();
  verb->callback([options, &context] { invoke(*options, context); });
}

}  // namespace kiln::cli
