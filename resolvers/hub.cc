#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "resolvers/page.h"
#include "resolvers/sources.h"
#include "resolvers/version.h"

namespace kiln::resolvers {
namespace {

using nlohmann::json;

constexpr uint64_t kAnswerLimit = 8u << 20;  // a package brings its readme and all its versions along

struct Package {
  bool artifact = true;
  std::string name_shown;  // "Artifact Hub", "Tekton Hub"
  std::string base, catalog, kind, name;

  std::string url() const {
    const auto part = [](const std::string& text) { return "/" + percent_encode(text); };
    return artifact ? base + "/api/v1/packages/tekton-" + percent_encode(kind) + part(catalog) + part(name)
                    : base + "/v1/resource" + part(catalog) + part(kind) + part(name);
  }
  std::string url_of(const std::string& version) const {
    return url() + "/" + percent_encode(version) + (artifact ? "" : "/yaml");
  }
};

json ask(const Services& services, const Package& package, const std::string& url) {
  const std::string failed = "fail to fetch " + package.name_shown + " resource";
  std::string text;
  try {
    text = get_page(services.http, url, kAnswerLimit, services.stop);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::NotFound)
      throw Error(ErrorKind::NotFound, failed + ": requested resource '" + url + "' not found on hub",
                  "check catalog, kind, name and version");
    throw error.because(failed);
  }
  json answer = json::parse(text, nullptr, false);
  if (!answer.is_object())
    throw Error(ErrorKind::Invalid, failed + ": the answer of " + url + " is no JSON object");
  return answer;
}

// A member on a path of members; null when any is missing.
const json& at(const json& object, std::initializer_list<const char*> path) {
  static const json nothing;
  const json* found = &object;
  for (const char* name : path) {
    if (!found->is_object() || !found->contains(name)) return nothing;
    found = &(*found)[name];
  }
  return *found;
}

// Artifact Hub counts in three numbers, Tekton Hub in two; users write either.
std::string as_hub_writes(const std::string& version, bool artifact) {
  const std::vector<std::string> numbers = split(version, '.');
  if (artifact && numbers.size() == 2) return version + ".0";
  if (!artifact && numbers.size() > 2) return numbers[0] + "." + numbers[1];
  return version;
}

std::string choose_version(const Services& services, const Package& package, const std::string& written,
                           const VersionConstraint& constraint) {
  const json answer = ask(services, package, package.url());
  const json& list = package.artifact ? at(answer, {"available_versions"}) : at(answer, {"data", "versions"});
  std::optional<Version> best;
  std::string best_text;
  std::vector<std::string> there;
  for (const json& entry : list) {
    const json& text = at(entry, {"version"});
    const json& prerelease = at(entry, {"prerelease"});
    if (!text.is_string() || (prerelease.is_boolean() && prerelease.get<bool>())) continue;
    there.push_back(text.get<std::string>());
    const auto version = Version::parse(there.back());
    if (!version || !constraint.allows(*version) || (best && *best > *version)) continue;
    best = version;
    best_text = there.back();
  }
  if (best) return best_text;
  throw Error(ErrorKind::NotFound, "no version found for constraint " + written,
              there.empty() ? "" : "there are: " + join(there, ", "));
}

Package package_of(const Services& services, const Params& params) {
  params.require({"name", "version"});
  const std::string type = params.get("type", "artifact");
  if (type != "artifact" && type != "tekton")
    throw Error(ErrorKind::Invalid, "type param must be artifact or tekton", "found \"" + type + "\"");
  Package package;
  package.artifact = type == "artifact";
  package.name_shown = package.artifact ? "Artifact Hub" : "Tekton Hub";
  package.base = package.artifact ? services.options.artifact_hub : services.options.tekton_hub;
  if (package.base.empty())
    throw Error(ErrorKind::Invalid, "please configure TEKTON_HUB_API env variable to use tekton type",
                "or pass --tekton-hub-api; no public Tekton Hub is left");
  while (package.base.ends_with('/')) package.base.pop_back();
  package.kind = params.get("kind", params.kind());
  if (package.kind != "task" && package.kind != "pipeline" && package.kind != "stepaction")
    throw Error(ErrorKind::Invalid, "kind param must be one of: task, pipeline, stepaction",
                "found \"" + package.kind + "\"");
  package.catalog = params.get(
      "catalog", package.artifact ? "tekton-catalog-" + package.kind + "s" : std::string("Tekton"));
  package.name = params.get("name");
  return package;
}

}  // namespace

Resolved resolve_hub(const Services& services, const Params& params) {
  const Package package = package_of(services, params);
  std::string version = params.get("version");
  const auto constraint = VersionConstraint::parse(version);
  if (constraint && !constraint->is_exact())
    version = choose_version(services, package, version, *constraint);
  const std::string url = package.url_of(as_hub_writes(version, package.artifact));
  if (auto known = services.known(url)) return *known;

  const json answer = ask(services, package, url);
  const json& document =
      package.artifact ? at(answer, {"data", "manifestRaw"}) : at(answer, {"data", "yaml"});
  if (!document.is_string())
    throw Error(ErrorKind::Invalid, "fail to fetch " + package.name_shown + " resource: the answer of " +
                                        url + " holds no document");
  std::string text = document.get<std::string>();
  if (text.size() > services.options.document_limit)
    throw Error(ErrorKind::Invalid, "the document of " + url + " is larger than " +
                                        format_bytes(services.options.document_limit));
  return services.keep(std::move(text), url);
}

}  // namespace kiln::resolvers
