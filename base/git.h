#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

namespace kiln {

// Fetching git repositories (libgit2). Credentials come from where git looks: the URL, ssh-agent and the
// default keys. Certificates and proxies are the machine's own.
struct GitCheckout {
  std::string url;
  std::string revision;               // branch, tag, full or abbreviated commit; empty: the remote's HEAD
  std::filesystem::path destination;  // must be missing or empty
  std::filesystem::path cache;        // folder of bare mirrors; a second fetch moves only what is new
  // Fetched besides branches and tags, each like "refs/pull/1/head:refs/heads/pull". A revision that is a
  // full name (refs/pull/1/head), a pull or a merge request (pull/1/head) is fetched in any case.
  std::vector<std::string> refspecs;
  bool submodules = false;  // also fetch and check out submodules, and theirs
  bool verify_tls = true;
};

struct GitCommit {
  std::string id;                // 40 hex
  long long committer_time = 0;  // seconds since the epoch
};

// Updates the mirror, then makes a full clone of it in `destination` at the revision (HEAD detached, `origin`
// set to the URL, objects copied rather than linked so that a step cannot harm the mirror). Throws NotFound
// when the URL is no repository or the revision is not there (the message names both and the branches there
// are), Unavailable when the host does not answer. On any failure `destination` is left as it was found.
GitCommit git_checkout(const GitCheckout& request, std::stop_token stop = {});

}  // namespace kiln
