#include "base/git.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "resolvers/sources.h"

namespace kiln::resolvers {
namespace {

enum class Place { Remote, Local, Nowhere };

Place place_of(const std::string& url) {
  const std::string lower = to_lower(url);
  for (const std::string_view scheme : {"https://", "http://", "git://", "ssh://"})
    if (lower.starts_with(scheme)) return Place::Remote;
  if (lower.starts_with("file://") || url.starts_with('/')) return Place::Local;
  if (url.find("://") != std::string::npos) return Place::Nowhere;
  // user@host:path
  const size_t at = url.find('@'), colon = url.find(':');
  const bool is_scp = at != std::string::npos && at > 0 && colon != std::string::npos && colon > at + 1 &&
                      url.find('/') > at && url[0] != '-';
  return is_scp ? Place::Remote : Place::Nowhere;
}

void check_url(const std::string& url, bool allow_local) {
  switch (place_of(url)) {
    case Place::Remote:
      return;
    case Place::Local:
      if (allow_local) return;
      throw Error(ErrorKind::Invalid, "the git repository " + url + " is on this machine's own disk",
                  "a document from elsewhere must not read it; if you trust all that is referred to, pass "
                  "--allow-local");
    case Place::Nowhere:
      throw Error(ErrorKind::Invalid, "invalid git repository url: " + url,
                  "write https://…, ssh://…, git://… or user@host:path");
  }
}

void refuse_api_mode(const Params& params) {
  if (!params.get("url").empty() && !params.get("repo").empty())
    throw Error(ErrorKind::Invalid, "cannot specify both 'url' and 'repo'", "remove `repo` and `org`");
  for (const std::string name : {"repo", "org", "token", "scmType", "serverURL"})
    if (!params.get(name).empty())
      throw Error(ErrorKind::Invalid,
                  "the git resolver's param `" + name +
                      "` is not supported: Kiln clones, and does not use "
                      "the API of an SCM provider",
                  "name the repository by `url`; git's own credentials apply (ssh-agent, or in the URL)");
}

bool is_commit_id(std::string_view text) {
  return text.size() == 40 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Credentials in a URL are not part of what the document is, and belong on no screen.
std::string without_user(const std::string& url) {
  const size_t start = url.find("://");
  if (start == std::string::npos || to_lower(url).starts_with("ssh")) return url;
  const size_t at = url.rfind('@', url.find('/', start + 3));
  return at == std::string::npos || at < start ? url : url.substr(0, start + 3) + url.substr(at + 1);
}

}  // namespace

Resolved resolve_git(const Services& services, const Params& params) {
  refuse_api_mode(params);
  const std::string url = params.get("url", services.options.git_default_url);
  params.require({"pathInRepo"});
  if (url.empty()) params.require({"url"});
  check_url(url, services.options.allow_local);
  std::string revision = params.get("revision", services.options.git_default_revision);
  if (revision.empty()) params.require({"revision"});
  const std::string path = params.get("pathInRepo");

  // A branch, a tag, or something that only the repository itself can tell: an abbreviated commit.
  if (!is_commit_id(revision))
    if (auto commit = git_resolve(url, revision, services.stop)) revision = *commit;
  const auto name_at = [&](const std::string& commit) {
    return "git+" + without_user(url) + "@" + commit + " " + path;
  };
  if (is_commit_id(revision))
    if (auto known = services.known(name_at(revision))) return *known;
  const GitFile file = git_read_file({.url = url,
                                      .revision = revision,
                                      .path = path,
                                      .cache = services.options.cache,
                                      .limit = services.options.document_limit},
                                     services.stop);
  return services.keep(file.content, name_at(file.commit));
}

}  // namespace kiln::resolvers
