#include "serving/api.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "serving/discovery.h"
#include "serving/fields.h"
#include "serving/status.h"

namespace kiln::serving {
namespace {

using nlohmann::json;

constexpr std::string_view kPrefix = "/apis/serving.knative.dev/v1/";
constexpr std::string_view kNamespaces = "namespaces/";
constexpr size_t kDocumentLimit = 3u << 20;  // as etcd would take

json status_json(int code, const std::string& reason, const std::string& message) {
  return {{"kind", "Status"},   {"apiVersion", "v1"}, {"status", "Failure"},
          {"message", message}, {"reason", reason},   {"code", code}};
}

int instances(const Serving& serving, const RevisionRecord& revision) {
  return serving.instances_of(revision);
}

std::set<std::string> routed_revisions(const ServiceRecord& service) {
  std::set<std::string> names;
  for (const TrafficTarget& target : service.spec.traffic)
    names.insert(target.latest ? service.latest_ready : target.revision);
  return names;
}

json object_of(Serving& serving, const std::string& resource, const ServiceRecord& service) {
  const auto revisions = serving.records().revisions(service.spec.name_space, service.spec.name);
  const auto& options = serving.options();
  if (resource == "configurations") return configuration_json(service, revisions);
  if (resource == "routes") return route_json(service, revisions, options.domain, options.authority);
  return service_json(service, revisions, options.domain, options.authority);
}

json revision_object(Serving& serving, const RevisionRecord& revision) {
  const auto service = serving.records().service(revision.name_space, revision.service);
  return revision_json(revision, service && routed_revisions(*service).contains(revision.name),
                       instances(serving, revision));
}

json list_of(Serving& serving, const std::string& resource, const std::string& name_space) {
  json items = json::array();
  if (resource == "revisions") {
    for (const ServiceRecord& service : serving.records().services()) {
      if (!name_space.empty() && service.spec.name_space != name_space) continue;
      for (const RevisionRecord& revision :
           serving.records().revisions(service.spec.name_space, service.spec.name))
        items.push_back(revision_object(serving, revision));
    }
  } else {
    for (const ServiceRecord& service : serving.records().services())
      if (name_space.empty() || service.spec.name_space == name_space)
        items.push_back(object_of(serving, resource, service));
  }
  static const std::map<std::string, std::string> kKinds = {{"services", "ServiceList"},
                                                            {"configurations", "ConfigurationList"},
                                                            {"routes", "RouteList"},
                                                            {"revisions", "RevisionList"}};
  return {{"apiVersion", "serving.knative.dev/v1"},
          {"kind", kKinds.at(resource)},
          {"metadata", json::object()},
          {"items", items}};
}

json get_one(Serving& serving, const std::string& resource, const std::string& name_space,
             const std::string& name) {
  if (resource == "revisions") {
    if (const auto revision = serving.records().revision(name_space, name))
      return revision_object(serving, *revision);
  } else if (const auto service = serving.records().service(name_space, name)) {
    return object_of(serving, resource, *service);
  }
  throw Error(ErrorKind::NotFound, resource + ".serving.knative.dev \"" + name + "\" not found");
}

Awaitable<void> until_deployed(Serving& serving, const std::string& name_space, const std::string& revision,
                               std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    const auto record = serving.records().revision(name_space, revision);
    if (!record || record->state != RevisionState::Deploying) co_return;
    if (std::chrono::steady_clock::now() >= deadline) co_return;
    co_await serving.changed(deadline);
  }
}

ServiceSpec parse_service(const std::string& body, const std::string& name_space, const std::string& name) {
  json document = parse_json(body);
  if (!document.is_object()) throw Error(ErrorKind::Invalid, "the body is not a JSON object");
  if (!document.contains("metadata") || !document["metadata"].is_object())
    document["metadata"] = json::object();
  if (!document["metadata"].contains("namespace")) document["metadata"]["namespace"] = name_space;
  ServiceSpec spec = ServiceSpec::parse(document);
  if (spec.name_space != name_space)
    throw Error(ErrorKind::Invalid,
                "the namespace of the object does not match the namespace on the request");
  if (!name.empty() && spec.name != name)
    throw Error(ErrorKind::Invalid, "the name of the object does not match the name on the request");
  return spec;
}

struct Answer {
  int status = 200;
  json body;
};

struct Location {
  std::string name_space, resource, name;  // an empty namespace is all of them
};

// "namespaces/NS/RESOURCE[/NAME]" or "RESOURCE" below the prefix.
Location locate(std::string_view path) {
  static const std::set<std::string> kResources = {"services", "configurations", "routes", "revisions"};
  const Error none(ErrorKind::NotFound, "the server could not find the requested resource");
  if (!path.starts_with(kPrefix)) throw none;
  path.remove_prefix(kPrefix.size());
  Location at;
  if (path.starts_with(kNamespaces)) {
    const std::vector<std::string> parts = split(path.substr(kNamespaces.size()), '/');
    if (parts.size() < 2 || parts.size() > 3 || parts[0].empty()) throw none;
    at = {parts[0], parts[1], parts.size() == 3 ? parts[2] : ""};
  } else {
    at.resource = path;
  }
  if (!kResources.contains(at.resource)) throw none;
  return at;
}

Awaitable<Answer> answer(Serving& serving, HttpExchange& exchange) {
  const std::string method(exchange.method());
  if (auto found = discovery(exchange.path()); found && method == "GET")
    co_return Answer{200, std::move(*found)};
  const Location at = locate(exchange.path());
  const std::string &name_space = at.name_space, &resource = at.resource, &name = at.name;

  if (method == "GET") {
    if (name.empty()) co_return Answer{200, list_of(serving, resource, name_space)};
    if (const auto revision = exchange.query_value("ready")) {
      int seconds = 600;
      const std::string text = exchange.query_value("timeoutSeconds").value_or("600");
      std::from_chars(text.data(), text.data() + text.size(), seconds);
      const auto deadline =
          std::chrono::steady_clock::now() + std::chrono::seconds(std::clamp(seconds, 0, 3600));
      co_await until_deployed(serving, name_space, *revision, deadline);
    }
    co_return Answer{200, get_one(serving, resource, name_space, name)};
  }
  const bool creates = method == "POST" && name.empty() && !name_space.empty(),
             replaces = method == "PUT" && !name.empty();
  if (resource == "services" && (creates || replaces)) {
    const std::string body = co_await exchange.read_all(kDocumentLimit);
    const ServiceSpec spec = parse_service(body, name_space, name);
    const bool exists = serving.records().service(spec.name_space, spec.name).has_value();
    if (creates && exists)
      co_return Answer{409, status_json(409, "AlreadyExists",
                                        "services.serving.knative.dev \"" + spec.name + "\" already exists")};
    const ServiceRecord service = serving.apply(spec);
    co_return Answer{exists ? 200 : 201, object_of(serving, "services", service)};
  }
  if (resource == "services" && method == "DELETE" && !name.empty()) {
    serving.remove(name_space, name);
    json done = {{"kind", "Status"}, {"apiVersion", "v1"}, {"status", "Success"}};
    co_return Answer{200, std::move(done)};
  }
  co_return Answer{
      405, status_json(405, "MethodNotAllowed", "the server does not allow this method on the resource")};
}

}  // namespace

bool is_api_path(std::string_view path) {
  return path == "/version" || path == "/api" || path == "/api/v1" || path == "/apis" ||
         path.starts_with("/apis/");
}

Awaitable<void> serve_api(Serving& serving, HttpExchange& exchange) {
  Answer result;
  try {
    result = co_await answer(serving, exchange);
  } catch (const Error& error) {
    switch (error.kind()) {
      case ErrorKind::NotFound:
        result = {404, status_json(404, "NotFound", error.full())};
        break;
      case ErrorKind::Invalid:
        result = {422, status_json(422, "Invalid", error.full())};
        break;
      case ErrorKind::Unavailable:
        result = {503, status_json(503, "ServiceUnavailable", error.full())};
        break;
      default:
        result = {500, status_json(500, "InternalError", error.full())};
    }
  }
  const std::string body = result.body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  co_await exchange.respond_json(result.status, body);
}

}  // namespace kiln::serving
