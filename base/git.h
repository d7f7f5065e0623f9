#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace kiln {

// Fetching git repositories (libgit2). Credentials come from where git looks: the URL, ssh-agent and the
// default keys in ~/.ssh, as far as these have no passphrase. Certificates and proxies are the machine's own.
// A stop request ends a transfer over http and https at once; over ssh and git only between two pieces of the
// pack, since libgit2 waits by itself there.
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

// The URL as it may be shown, stored and handed on: without a password, and over http without a user, who is
// as likely a token.
std::string without_password(const std::string& url);

// The commit (40 hex) that was checked out. Updates the mirror, then makes a full clone of it in
// `destination` at the revision (HEAD detached, `origin` set to the URL, objects copied rather than linked so
// that a step cannot harm the mirror). Throws NotFound when the URL is no repository or the revision is not
// there (the message names both and the branches there are), Unavailable when the host does not answer. On
// any failure `destination` is left as it was found.
std::string git_checkout(const GitCheckout& request, std::stop_token stop = {});

// The commit that a branch, a tag or a full reference name ("refs/…", "HEAD") points to at the remote now, by
// asking for its references only; a branch goes before a tag of the same name. nullopt when there is no such
// name. `insteadOf` of git's configuration is not applied. Throws as git_checkout does.
std::optional<std::string> git_resolve(const std::string& url, const std::string& revision,
                                       std::stop_token stop = {});

// One file of a repository, without a checkout.
struct GitFileRequest {
  std::string url;
  std::string revision;         // as for git_checkout; not empty
  std::string path;             // from the repository's root
  std::filesystem::path cache;  // as for git_checkout; the mirrors are the same
  uint64_t limit = 1u << 20;    // of the file, in bytes
};

struct GitFile {
  std::string commit;  // 40 hex
  std::string content;
};

// Reads the file at the revision; links are followed inside the repository. A full commit id that the mirror
// has is read without any network. Throws as git_checkout does; NotFound when the path is no file there (the
// hint names a likely one), Invalid for a file beyond the limit or a path that climbs out.
GitFile git_read_file(const GitFileRequest& request, std::stop_token stop = {});

}  // namespace kiln
