#include "executor/image_requests.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "dag/matrix.h"

namespace kiln::executor {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(const dag::KeyValues& secret, const std::string& problem) {
  throw Error(
      ErrorKind::Invalid,
      "Secret \"" + secret.metadata.name.value + "\" of type " + secret.type + " " + problem,
      "it is one of the imagePullSecrets; `kubectl create secret docker-registry` makes such Secrets");
}

json object_in(const dag::KeyValues& secret, const std::string& key) {
  const auto found = secret.values.find(key);
  if (found == secret.values.end()) refuse(secret, "has no key \"" + key + "\"");
  json document = json::parse(found->second, nullptr, false);
  if (!document.is_object()) refuse(secret, "holds no JSON object in \"" + key + "\"");
  return document;
}

// As config.json, its `auths` alone; nullopt for a Secret of another type.
std::optional<std::string> registry_configuration(const dag::KeyValues& secret) {
  json auths;
  if (secret.type == "kubernetes.io/dockerconfigjson")
    auths = object_in(secret, ".dockerconfigjson").value("auths", json::object());
  else if (secret.type == "kubernetes.io/dockercfg")
    auths = object_in(secret, ".dockercfg");
  else
    return std::nullopt;
  if (!auths.is_object()) refuse(secret, "holds `auths` that are no JSON object");
  for (const auto& [host, entry] : auths.items()) {
    if (!entry.is_object()) refuse(secret, "holds no JSON object for " + host);
    const auto pair = entry.find("auth");
    if (pair == entry.end()) continue;
    const std::string decoded =
        pair->is_string() ? base64_decode(pair->get<std::string>()).value_or("") : std::string();
    if (decoded.find(':') == std::string::npos)
      refuse(secret, "holds an `auth` for " + host + " that is not base64 of user:password");
  }
  return json{{"auths", std::move(auths)}}.dump();
}

class ImageCollector {
 public:
  ImageCollector(const dag::Plan& plan, const dag::RunContext& context,
                 registry::ImageRequest::Moment answered_since)
      : plan_(plan), context_(context), answered_since_(answered_since) {}

  void add_task(size_t task) {
    const dag::PlannedTask& planned = plan_.tasks[task];
    if (planned.kind != dag::PlannedTask::Kind::Task) return;
    const std::optional<size_t> combinations =
        planned.matrix ? dag::count_combinations(*planned.matrix) : std::nullopt;
    std::vector<std::string> notes;  // its pod will say them
    request_ = {.answered_since = answered_since_,
                .credentials = pull_credentials(plan_, *planned.settings, notes)};
    if (add_task_run(task, {}) || !combinations) return;
    for (size_t i = 0; i < *combinations; ++i)
      add_task_run(task, {.in_matrix = i, .combinations = *combinations});
  }

  std::vector<registry::WantedImage> take() { return std::move(out_); }

 private:
  // False when some of its images depend on what is not known.
  bool add_task_run(size_t task, const dag::TaskRunIndex& which) {
    const dag::ResolvedTask resolved = dag::resolve_task(plan_, task, dag::no_facts(), context_, which);
    bool all = true;
    for (const dag::Step& step : resolved.spec.steps) all &= add(step);
    for (const dag::Sidecar& sidecar : resolved.spec.sidecars) all &= add(sidecar);
    return all;
  }

  bool add(const dag::Container& container) {
    const std::string& name = container.image.value;
    if (name.find("$(") != std::string::npos) return false;
    request_.policy = pull_policy_of(container);
    if (name.empty() || request_.policy == registry::PullPolicy::Never) return true;
    if (seen_.insert({name, request_.policy, request_.credentials}).second) out_.push_back({name, request_});
    return true;
  }

  const dag::Plan& plan_;
  const dag::RunContext& context_;
  const registry::ImageRequest::Moment answered_since_;
  registry::ImageRequest request_;  // of the task at hand
  std::set<std::tuple<std::string, registry::PullPolicy, std::vector<std::string>>> seen_;
  std::vector<registry::WantedImage> out_;
};

}  // namespace

registry::PullPolicy pull_policy_of(const dag::Container& container) {
  const std::string& policy = container.image_pull_policy.value;
  return policy == "Always"  ? registry::PullPolicy::Always
         : policy == "Never" ? registry::PullPolicy::Never
                             : registry::PullPolicy::IfNotPresent;
}

std::vector<std::string> pull_credentials(const dag::Plan& plan, const dag::TaskRunSettings& settings,
                                          std::vector<std::string>& notes) {
  static const dag::ClusterObjects kNone;
  const dag::ClusterObjects& objects = plan.objects ? *plan.objects : kNone;
  const std::vector<dag::Text>* names = &settings.pod_template.image_pull_secrets;
  const std::string account = settings.service_account.empty() ? "default" : settings.service_account.value;
  if (const auto found = objects.service_accounts.find(account);
      names->empty() && found != objects.service_accounts.end())
    names = &found->second.image_pull_secrets;
  std::vector<std::string> out;
  for (const dag::Text& name : *names) {
    const auto secret = objects.secrets.find(name);
    if (secret == objects.secrets.end()) {
      notes.push_back("Secret \"" + name.value +
                      "\" of imagePullSecrets is not among the documents loaded: images are got without it");
    } else if (auto configuration = registry_configuration(secret->second)) {
      out.push_back(std::move(*configuration));
    } else {
      notes.push_back("Secret \"" + name.value + "\" of imagePullSecrets is of type " + secret->second.type +
                      ", which holds no credentials for registries");
    }
  }
  return out;
}

std::vector<registry::WantedImage> wanted_images(const dag::Plan& plan, const dag::RunContext& context,
                                                 registry::ImageRequest::Moment answered_since,
                                                 const std::stop_token& stop) {
  ImageCollector collector(plan, context, answered_since);
  for (size_t task = 0; task < plan.tasks.size() && !stop.stop_requested(); ++task) {
    try {
      collector.add_task(task);
    } catch (const Error&) {  // its pod says what is wrong with it
    }
  }
  return collector.take();
}

}  // namespace kiln::executor
