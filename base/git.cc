#include "base/git.h"

#include <algorithm>
#include <cstdlib>
#include <git2.h>
#include <memory>
#include <mutex>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"

#if defined(__SANITIZE_ADDRESS__)
// libgit2 1.5 does not give back what libpcre2 allocates for a pattern that does not match: some 20 KiB in
// each checkout, in a process that ends soon after.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libpcre2\n";
}
#endif

namespace kiln {
namespace {

template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* object) const { Free(object); }
};
using Repository = std::unique_ptr<git_repository, Freed<git_repository, git_repository_free>>;
using Remote = std::unique_ptr<git_remote, Freed<git_remote, git_remote_free>>;
using Object = std::unique_ptr<git_object, Freed<git_object, git_object_free>>;

void initialise() {
  static std::once_flag once;
  std::call_once(once, [] {
    git_libgit2_init();
    // The machine's CA bundle, also when it was named to us the way OpenSSL's and git's users do.
    for (const char* variable : {"GIT_SSL_CAINFO", "SSL_CERT_FILE"})
      if (const char* file = std::getenv(variable); file && *file) {
        git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, file, nullptr);
        break;
      }
    // A repository that belongs to somebody else is what a bind-mounted workspace looks like.
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
  });
}

std::string last_error() {
  const git_error* error = git_error_last();
  return error && error->message ? error->message : "unknown git error";
}

// `code` and git's own words, as our error. What libgit2 calls "not found" is the user's URL.
[[noreturn]] void throw_git(int code, const std::string& doing) {
  const std::string cause = last_error();
  if (code == GIT_EUSER) throw Error(ErrorKind::Cancelled, doing + " was cancelled");
  const git_error* error = git_error_last();
  const int kind = error ? error->klass : 0;
  if (code == GIT_EAUTH)
    throw Error(ErrorKind::Failed, doing + ": " + cause,
                "give credentials in the URL, or load a key into ssh-agent");
  const bool no_host =
      cause.find("connect") != std::string::npos || cause.find("resolve") != std::string::npos;
  if (kind == GIT_ERROR_NET || kind == GIT_ERROR_SSL || (kind == GIT_ERROR_OS && no_host)) {
    if (cause.find("404") != std::string::npos || cause.find("unsupported URL") != std::string::npos)
      throw Error(ErrorKind::NotFound, doing + ": there is no git repository at this URL", "check the URL");
    throw Error(ErrorKind::Unavailable, doing + ": " + cause, "check the host name and the network");
  }
  if (code == GIT_ENOTFOUND || kind == GIT_ERROR_REPOSITORY || kind == GIT_ERROR_OS)
    throw Error(ErrorKind::NotFound, doing + ": there is no git repository at this URL", "check the URL");
  throw Error(ErrorKind::Failed, doing + ": " + cause);
}

int credentials(git_credential** out, const char*, const char* user, unsigned allowed, void* payload) {
  // libgit2 asks again after each refusal; the second time there is nothing better to offer.
  if (++*static_cast<int*>(payload) > 1) return GIT_EAUTH;
  if (allowed & GIT_CREDENTIAL_SSH_KEY) return git_credential_ssh_key_from_agent(out, user ? user : "git");
  if (allowed & GIT_CREDENTIAL_USERNAME) return git_credential_username_new(out, user ? user : "git");
  return GIT_EAUTH;
}

struct Transfer {
  std::stop_token stop;
  int credential_attempts = 0;
};

// Callbacks and proxy for a transfer; `transfer` outlives it.
void prepare(git_fetch_options& options, Transfer& transfer, bool verify_tls) {
  options.proxy_opts.type = GIT_PROXY_AUTO;
  options.callbacks.payload = &transfer;
  options.callbacks.transfer_progress = [](const git_indexer_progress*, void* payload) {
    return static_cast<Transfer*>(payload)->stop.stop_requested() ? GIT_EUSER : 0;
  };
  options.callbacks.credentials = [](git_credential** out, const char* host, const char* user,
                                     unsigned allowed, void* payload) {
    return credentials(out, host, user, allowed, &static_cast<Transfer*>(payload)->credential_attempts);
  };
  if (!verify_tls) options.callbacks.certificate_check = [](git_cert*, int, const char*, void*) { return 0; };
}

// What to fetch: branches, tags, what was asked for, and the revision when it is a full name.
std::vector<std::string> refspecs_of(const GitCheckout& request) {
  std::vector<std::string> specs{"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"};
  const auto add = [&](std::string spec) {
    if (spec.find(':') == std::string::npos) spec += ":" + spec;
    specs.push_back(spec.starts_with('+') ? spec : "+" + spec);
  };
  for (const std::string& spec : request.refspecs) add(spec);
  const std::string& revision = request.revision;
  if (revision.starts_with("refs/") && !revision.starts_with("refs/heads/") &&
      !revision.starts_with("refs/tags/"))
    add(revision);
  if (revision.starts_with("pull/") || revision.starts_with("merge-requests/")) add("refs/" + revision);
  return specs;
}

// Brings the bare mirror up to date, creating it when missing. The caller holds the mirror's lock.
Repository update_mirror(const GitCheckout& request, const fs::path& mirror, const std::stop_token& stop) {
  const std::string& url = request.url;
  git_repository* raw = nullptr;
  const bool fresh = git_repository_open_bare(&raw, mirror.c_str()) != 0;
  if (fresh) {
    remove_tree(mirror);
    if (int code = git_repository_init(&raw, mirror.c_str(), 1))
      throw_git(code, "cannot make " + mirror.string());
  }
  Repository repository(raw);
  OnExit discard([&] {
    if (fresh) remove_tree(mirror);
  });
  git_remote* remote_raw = nullptr;
  if (int code = git_remote_create_anonymous(&remote_raw, repository.get(), url.c_str()))
    throw_git(code, "cannot fetch " + url);
  Remote remote(remote_raw);

  Transfer transfer{stop};
  git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
  options.prune = GIT_FETCH_PRUNE;
  options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_ALL;
  prepare(options, transfer, request.verify_tls);
  std::vector<std::string> specs = refspecs_of(request);
  std::vector<char*> pointers;
  for (std::string& spec : specs) pointers.push_back(spec.data());
  const git_strarray refspecs{pointers.data(), pointers.size()};
  if (int code = git_remote_fetch(remote.get(), &refspecs, &options, nullptr))
    throw_git(code, "cannot fetch " + url);

  git_buf head = GIT_BUF_INIT;
  if (git_remote_default_branch(&head, remote.get()) == 0)
    git_repository_set_head(repository.get(), head.ptr);
  git_buf_dispose(&head);
  discard.dismiss();
  return repository;
}

std::vector<std::string> branches_of(git_repository* repository) {
  std::vector<std::string> names;
  git_reference_iterator* iterator = nullptr;
  if (git_reference_iterator_glob_new(&iterator, repository, "refs/heads/*") != 0) return names;
  const char* name = nullptr;
  while (git_reference_next_name(&name, iterator) == 0) names.emplace_back(name + sizeof("refs/heads/") - 1);
  git_reference_iterator_free(iterator);
  return names;
}

Object find_commit(git_repository* repository, const std::string& revision, const std::string& url) {
  git_object* raw = nullptr;
  // Full names first: a branch called like an abbreviated commit means the branch.
  for (const std::string& candidate : {"refs/heads/" + revision, "refs/tags/" + revision, revision})
    if (git_revparse_single(&raw, repository,
                            (revision.empty() ? "HEAD" : candidate + "^{commit}").c_str()) == 0)
      return Object(raw);
  const std::vector<std::string> branches = branches_of(repository);
  if (revision.empty())
    throw Error(ErrorKind::NotFound, url + " has no commit yet", "push a first commit, or name a --revision");
  std::string hint =
      "branches there: " + join(std::span(branches).first(std::min<size_t>(branches.size(), 8)), ", ");
  if (auto near = nearest(revision, branches)) hint = "did you mean `" + *near + "`? " + hint;
  throw Error(ErrorKind::NotFound, "there is no branch, tag or commit `" + revision + "` in " + url, hint);
}

// Passwords in URLs do not belong into messages, logs or .git/config.
std::string without_password(const std::string& url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  const size_t host_end = url.find('/', scheme + 3);
  const size_t at = url.rfind('@', host_end);
  if (at == std::string::npos || at < scheme) return url;
  return url.substr(0, scheme + 3) + url.substr(at + 1);
}

struct SubmoduleUpdate {
  const GitCheckout& request;
  const std::stop_token& stop;
  int depth = 0;
};

void update_submodules(git_repository* repository, const SubmoduleUpdate& update) {
  constexpr int kDeepest = 10;
  if (update.depth >= kDeepest) throw Error(ErrorKind::Failed, "submodules are nested too deeply");
  std::vector<std::string> names;
  git_submodule_foreach(
      repository,
      [](git_submodule*, const char* name, void* payload) {
        static_cast<std::vector<std::string>*>(payload)->emplace_back(name);
        return 0;
      },
      &names);
  for (const std::string& name : names) {
    const std::string doing = "cannot fetch the submodule " + name;
    git_submodule* raw = nullptr;
    if (int code = git_submodule_lookup(&raw, repository, name.c_str())) throw_git(code, doing);
    std::unique_ptr<git_submodule, Freed<git_submodule, git_submodule_free>> submodule(raw);
    Transfer transfer{update.stop};
    git_submodule_update_options options = GIT_SUBMODULE_UPDATE_OPTIONS_INIT;
    prepare(options.fetch_opts, transfer, update.request.verify_tls);
    if (int code = git_submodule_update(submodule.get(), 1, &options)) throw_git(code, doing);
    git_repository* inner = nullptr;
    if (int code = git_submodule_open(&inner, submodule.get())) throw_git(code, doing);
    const Repository opened(inner);
    update_submodules(opened.get(), {update.request, update.stop, update.depth + 1});
  }
}

}  // namespace

GitCommit git_checkout(const GitCheckout& request, std::stop_token stop) {
  initialise();
  const std::string shown_url = without_password(request.url);
  if (request.url.empty()) throw Error(ErrorKind::Usage, "the repository URL is empty", "pass -p url=…");
  const bool destination_existed = fs::exists(request.destination);
  if (destination_existed && !fs::is_empty(request.destination))
    throw Error(ErrorKind::Failed, request.destination.string() + " is not empty",
                "a checkout needs an empty folder; remove it or choose another");

  const fs::path mirrors = request.cache / "git";
  make_dirs(mirrors, 0700);
  const std::string key = sha256(request.url).short_text();
  FileLock lock(mirrors / (key + ".lock"));
  Repository mirror;
  try {
    mirror = update_mirror(request, mirrors / (key + ".git"), stop);
  } catch (const Error& error) {
    throw Error(error.kind(), replace_all(error.full(), request.url, shown_url), error.hint());
  }
  Object commit = find_commit(mirror.get(), request.revision, shown_url);

  make_dirs(request.destination);
  OnExit undo([&] {
    for (const auto& entry : fs::directory_iterator(request.destination)) remove_tree(entry.path());
    if (!destination_existed) remove_tree(request.destination);
  });
  git_clone_options options = GIT_CLONE_OPTIONS_INIT;
  options.local = GIT_CLONE_LOCAL_NO_LINKS;
  options.checkout_opts.checkout_strategy = GIT_CHECKOUT_NONE;
  git_repository* raw = nullptr;
  if (int code = git_clone(&raw, (mirrors / (key + ".git")).c_str(), request.destination.c_str(), &options))
    throw_git(code, "cannot clone " + shown_url);
  Repository clone(raw);
  git_remote_set_url(clone.get(), "origin", shown_url.c_str());
  git_checkout_options checkout = GIT_CHECKOUT_OPTIONS_INIT;
  checkout.checkout_strategy = GIT_CHECKOUT_FORCE;
  Object local;
  git_object* local_raw = nullptr;
  if (int code = git_object_lookup(&local_raw, clone.get(), git_object_id(commit.get()), GIT_OBJECT_COMMIT))
    throw_git(code, "cannot check out " + shown_url);
  local.reset(local_raw);
  if (int code = git_checkout_tree(clone.get(), local.get(), &checkout))
    throw_git(code, "cannot check out " + shown_url);
  git_repository_set_head_detached(clone.get(), git_object_id(local.get()));
  if (request.submodules) update_submodules(clone.get(), {request, stop});
  undo.dismiss();

  char id[GIT_OID_HEXSZ + 1];
  git_oid_tostr(id, sizeof id, git_object_id(local.get()));
  return {id, git_commit_time(reinterpret_cast<git_commit*>(local.get()))};
}

}  // namespace kiln
