#include "cli/api_client.h"

#include "base/error.h"
#include "cli/context.h"

namespace kiln::cli {
namespace {

// Longer than the longest wait that the API grants.
HttpClient::Options patient(Context& context) {
  HttpClient::Options options;
  options.tls.ca_file = context.server_certificate();
  options.stall_timeout = std::chrono::seconds(3700);
  return options;
}

}  // namespace

ApiClient::ApiClient(Context& context)
    : context_(context), url_(context.server_url()), http_(patient(context)) {}

nlohmann::json ApiClient::call(std::string_view method, const std::string& path, const nlohmann::json& body) {
  return send(method, "/apis/serving.knative.dev/v1/" + path, body);
}

void ApiClient::check() {
  send("GET", "/api/runs", {});
}

void ApiClient::start_run(const std::string& run) {
  send("POST", "/api/runs/" + run, {});
}

nlohmann::json ApiClient::send(std::string_view method, const std::string& path, const nlohmann::json& body) {
  HttpRequest request;
  request.method = method;
  request.url = url_ + path;
  if (!body.is_null()) {
    request.headers.set("Content-Type", "application/json");
    request.body = HttpBody::of_text(body.dump());
  }
  HttpResponse response;
  try {
    response = http_.send(request, {}, context_.stop());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Unavailable) throw;
    throw error.because("no `kiln serve` answers at " + url_)
        .with_hint("start one with `kiln serve`, or name it with --server");
  }
  const nlohmann::json answer = nlohmann::json::parse(response.body, nullptr, false);
  if (answer.is_discarded())
    throw Error(
        ErrorKind::Unavailable,
        url_ + " does not answer like a `kiln serve` (status " + std::to_string(response.status) + ")",
        "is something else on that port?");
  if (response.ok()) return answer;
  // Kubernetes' Status, or {"error":{"message"}}.
  const nlohmann::json& said = answer.contains("error") ? answer["error"] : answer;
  const std::string message = said.value("message", "status " + std::to_string(response.status));
  const ErrorKind kind = response.status == 404   ? ErrorKind::NotFound
                         : response.status == 422 ? ErrorKind::Invalid
                         : response.status >= 500 ? ErrorKind::Infrastructure
                                                  : ErrorKind::Failed;
  throw Error(kind, message);
}

}  // namespace kiln::cli
