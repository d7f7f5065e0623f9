#include "resolvers/remote_resolver.h"

#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "resolvers/sources.h"
#include "resolvers/time_limit.h"

namespace kiln::resolvers {
namespace {

// As Go writes it where it is round, since that is what users know.
std::string written(Duration limit) {
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(limit).count();
  if (whole > 0 && whole % 60 == 0) return std::to_string(whole / 60) + "m0s";
  return format_seconds(seconds(limit));
}

void check_content(std::string_view text, const std::string& source) {
  if (trim(text).empty()) throw Error(ErrorKind::Invalid, "no content for resource in " + source);
}

}  // namespace

std::optional<Resolved> Services::known(const std::string& source) const {
  auto text = cache.find(source);
  if (!text) return std::nullopt;
  return Resolved{std::move(*text), source, true};
}

Resolved Services::keep(std::string text, const std::string& source) const {
  check_content(text, source);
  cache.store(source, text);
  return {std::move(text), source, false};
}

RemoteResolver::RemoteResolver(registry::Client& registry, Options options)
    : registry_(registry),
      options_(std::move(options)),
      http_(options_.http),
      cache_(options_.cache / "resolved") {}

std::string RemoteResolver::fetch(const dag::RemoteRef& reference) {
  const std::string key = reference.key();
  if (const auto failed = failures_.find(key); failed != failures_.end()) throw failed->second;
  try {
    return fetch_once(reference);
  } catch (const Error& error) {
    failures_.emplace(key, error);
    throw;
  }
}

std::string RemoteResolver::fetch_once(const dag::RemoteRef& reference) {
  const TimeLimit limit(options_.time_limit, options_.stop);
  try {
    Resolved resolved = resolve(reference, limit.token());
    check_content(resolved.text, resolved.source);
    if (options_.on_resolved) options_.on_resolved(reference, resolved);
    return std::move(resolved.text);
  } catch (const Error& error) {
    if (!limit.expired() || error.kind() != ErrorKind::Cancelled) throw;
    throw Error(
        ErrorKind::TimedOut,
        "resolution took longer than global timeout of " + written(options_.time_limit) + ": " + error.full(),
        "check that the host answers, then try again");
  }
}

Resolved RemoteResolver::resolve(const dag::RemoteRef& reference, std::stop_token stop) {
  const Services services{options_, http_, registry_, cache_, std::move(stop)};
  const Params params(reference);
  if (reference.resolver == "git") return resolve_git(services, params);
  if (reference.resolver == "http") return resolve_http(services, params);
  if (reference.resolver == "bundles") return resolve_bundle(services, params);
  if (reference.resolver == "hub") return resolve_hub(services, params);
  static const std::vector<std::string> known{"bundles", "cluster", "git", "http", "hub"};
  const auto near = nearest(reference.resolver, known);
  throw Error(ErrorKind::Invalid, "there is no resolver \"" + reference.resolver + "\"",
              near ? "did you mean `" + *near + "`?" : "there are: " + join(known, ", "));
}

}  // namespace kiln::resolvers
