#pragma once

#include <exception>
#include <filesystem>
#include <git2.h>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

// Inside of base/git*.cc: libgit2's handles, its errors as ours, and its connections.
namespace kiln::detail {

template <class T, void (*Free)(T*)>
struct GitFreed {
  void operator()(T* object) const { Free(object); }
};
using GitRepository = std::unique_ptr<git_repository, GitFreed<git_repository, git_repository_free>>;
using GitRemote = std::unique_ptr<git_remote, GitFreed<git_remote, git_remote_free>>;
using GitObject = std::unique_ptr<git_object, GitFreed<git_object, git_object_free>>;

void start_libgit2();

// What the callbacks of one connection see.
struct GitTransfer {
  std::stop_token stop{};
  bool verify_tls = true;
  std::filesystem::path scratch{};  // folder for what is too large for memory; empty: memory
  size_t keys_offered = 0;
  std::exception_ptr failure{};  // no exception passes through libgit2: it is kept and thrown after
};

// `code` and git's own words, as our error: "<doing>: <why>". What libgit2 calls "not found" is the user's
// URL. An exception that was kept in `transfer` goes first.
[[noreturn]] void throw_git(int code, const std::string& doing, const GitTransfer* transfer = nullptr);

// Credentials, cancellation, and for http and https the transport of base/git_http.h. `transfer` outlives
// them.
git_remote_callbacks callbacks_for(GitTransfer& transfer);

std::string text_of(const git_oid& id);

// Where the bare mirror of `url` lies below a cache folder (GitCheckout::cache). FOLDER.lock guards it.
std::filesystem::path mirror_of(const std::filesystem::path& cache, const std::string& url);

// How to fetch, beyond branches and tags.
struct GitFetch {
  std::vector<std::string> refspecs;
  bool verify_tls = true;
};
// Brings all branches and tags of the mirror up to date, creating it when missing. The caller holds its lock.
// Messages and hints name the URL without its password.
GitRepository update_mirror(const std::string& url, const std::filesystem::path& mirror,
                            const std::stop_token& stop, GitFetch fetch = {});

// Branch, tag, or what else git understands as a commit; throws NotFound naming what there is.
GitObject find_commit(git_repository* repository, const std::string& revision, const std::string& shown_url);

}  // namespace kiln::detail
