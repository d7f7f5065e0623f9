#include "base/git_session.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <sys/socket.h>
#include <sys/un.h>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/git.h"
#include "base/git_http.h"
#include "base/text.h"

#if defined(__SANITIZE_ADDRESS__)
// libgit2 1.5 does not give back what libpcre2 allocates for a pattern that does not match: some 20 KiB in
// each checkout, in a process that ends soon after.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libpcre2\n";
}
#endif

namespace kiln::detail {
namespace {

std::string last_error() {
  const git_error* error = git_error_last();
  return error && error->message ? error->message : "unknown git error";
}

// Nobody can be asked for a passphrase here: a key that has one is for the agent.
bool needs_passphrase(const std::string& key) {
  if (key.find("OPENSSH PRIVATE KEY") == std::string::npos) return key.find("ENCRYPTED") != std::string::npos;
  constexpr std::string_view kPlain = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";  // "openssh-key-v1", cipher "none"
  return key.find(kPlain) == std::string::npos;
}

// The default keys of ssh(1) that this user has.
std::vector<std::string> default_keys() {
  constexpr uint64_t kLargestKey = 64 << 10;
  std::vector<std::string> keys;
  const char* home = std::getenv("HOME");
  for (const char* name : {"id_rsa", "id_ecdsa", "id_ed25519"}) {
    const fs::path key = fs::path(home ? home : "") / ".ssh" / name;
    try {
      if (!needs_passphrase(read_file(key, kLargestKey))) keys.push_back(key.native());
    } catch (const Error&) {  // not there, or not ours to read
    }
  }
  return keys;
}

// Whether ssh-agent answers: libgit2 takes one that has ended for the end of the matter.
bool has_agent() {
  const char* path = std::getenv("SSH_AUTH_SOCK");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!path || std::strlen(path) >= sizeof address.sun_path) return false;
  std::strcpy(address.sun_path, path);
  const UniqueFd agent(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(agent.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

// libgit2 asks again after each refusal: the agent's keys first, then one default key after the other.
int give_credentials(git_credential** out, const char*, const char* user, unsigned allowed, void* payload) {
  const char* name = user ? user : "git";
  if (!(allowed & GIT_CREDENTIAL_SSH_KEY))
    return allowed & GIT_CREDENTIAL_USERNAME ? git_credential_username_new(out, name) : GIT_EAUTH;
  std::vector<std::string> sources = default_keys();
  if (has_agent()) sources.insert(sources.begin(), "");
  size_t& offered = static_cast<GitTransfer*>(payload)->keys_offered;
  if (offered >= sources.size()) {
    git_error_set_str(GIT_ERROR_SSH, "the server accepted no key");
    return GIT_EAUTH;
  }
  const std::string& source = sources[offered++];
  return source.empty() ? git_credential_ssh_key_from_agent(out, name)
                        : git_credential_ssh_key_new(out, name, nullptr, source.c_str(), "");
}

int choose_transport(git_transport** out, git_remote* remote, void* payload) {
  if (!is_http_url(git_remote_url(remote))) return 0;  // libgit2's own: ssh, git, the local disk
  return make_http_transport(out, remote, *static_cast<GitTransfer*>(payload));
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

}  // namespace

void start_libgit2() {
  static std::once_flag once;
  std::call_once(once, [] {
    git_libgit2_init();
    // A repository that belongs to somebody else is what a bind-mounted workspace looks like.
    git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
  });
}

void throw_git(int code, const std::string& doing, const GitTransfer* transfer) {
  if (transfer && transfer->failure) {
    try {
      std::rethrow_exception(transfer->failure);
    } catch (const Error& error) {
      throw error.because(doing);
    }
  }
  const std::string cause = last_error();
  if (code == GIT_EUSER) throw Error(ErrorKind::Cancelled, doing + " was cancelled");
  const git_error* error = git_error_last();
  const int kind = error ? error->klass : 0;
  if (code == GIT_EAUTH)
    throw Error(
        ErrorKind::Failed, doing + ": " + cause,
        "give credentials in the URL, or load a key into ssh-agent; keys in ~/.ssh that have no passphrase "
        "are tried, too");
  const bool no_host =
      cause.find("connect") != std::string::npos || cause.find("resolve") != std::string::npos;
  if (kind == GIT_ERROR_NET || kind == GIT_ERROR_SSL || (kind == GIT_ERROR_OS && no_host)) {
    if (cause.find("unsupported URL") != std::string::npos)
      throw Error(ErrorKind::NotFound, doing + ": there is no git repository at this URL", "check the URL");
    throw Error(ErrorKind::Unavailable, doing + ": " + cause, "check the host name and the network");
  }
  if (code == GIT_ENOTFOUND || kind == GIT_ERROR_REPOSITORY || kind == GIT_ERROR_OS)
    throw Error(ErrorKind::NotFound, doing + ": there is no git repository at this URL", "check the URL");
  throw Error(ErrorKind::Failed, doing + ": " + cause);
}

git_remote_callbacks callbacks_for(GitTransfer& transfer) {
  git_remote_callbacks callbacks = GIT_REMOTE_CALLBACKS_INIT;
  callbacks.payload = &transfer;
  callbacks.transfer_progress = [](const git_indexer_progress*, void* payload) {
    return static_cast<GitTransfer*>(payload)->stop.stop_requested() ? GIT_EUSER : 0;
  };
  callbacks.credentials = give_credentials;
  callbacks.transport = choose_transport;
  if (!transfer.verify_tls)
    callbacks.certificate_check = [](git_cert*, int, const char*, void*) { return 0; };
  return callbacks;
}

std::string text_of(const git_oid& id) {
  char text[GIT_OID_HEXSZ + 1];
  return git_oid_tostr(text, sizeof text, &id);
}

fs::path mirror_of(const fs::path& cache, const std::string& url) {
  const fs::path mirrors = cache / "git";
  make_dirs(mirrors, 0700);
  return mirrors / (sha256(url).short_text() + ".git");
}

GitRepository update_mirror(const std::string& url, const fs::path& mirror, const std::stop_token& stop,
                            GitFetch fetch) {
  const std::string doing = "cannot fetch " + without_password(url);
  git_repository* raw = nullptr;
  const bool fresh = git_repository_open_bare(&raw, mirror.c_str()) != 0;
  if (fresh) {
    remove_tree(mirror);
    if (int code = git_repository_init(&raw, mirror.c_str(), 1))
      throw_git(code, "cannot make " + mirror.string());
  }
  GitRepository repository(raw);
  OnExit discard([&] {
    if (fresh) try_remove_tree(mirror);
  });
  git_remote* remote_raw = nullptr;
  if (int code = git_remote_create_anonymous(&remote_raw, repository.get(), url.c_str()))
    throw_git(code, doing);
  GitTransfer transfer{stop, fetch.verify_tls,
                       mirror.parent_path()};  // before the remote, which it must outlive
  const GitRemote remote(remote_raw);

  git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
  options.prune = GIT_FETCH_PRUNE;
  options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_ALL;
  options.proxy_opts.type = GIT_PROXY_AUTO;
  options.callbacks = callbacks_for(transfer);
  std::vector<std::string>& specs = fetch.refspecs;
  specs.insert(specs.begin(), {"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"});
  std::vector<char*> pointers;
  for (std::string& spec : specs) pointers.push_back(spec.data());
  const git_strarray refspecs{pointers.data(), pointers.size()};
  try {
    if (int code = git_remote_fetch(remote.get(), &refspecs, &options, nullptr))
      throw_git(code, doing, &transfer);
  } catch (const Error& error) {
    throw Error(error.kind(), replace_all(error.full(), url, without_password(url)), error.hint());
  }

  git_buf head = GIT_BUF_INIT;
  if (git_remote_default_branch(&head, remote.get()) == 0)
    git_repository_set_head(repository.get(), head.ptr);
  git_buf_dispose(&head);
  discard.dismiss();
  return repository;
}

GitObject find_commit(git_repository* repository, const std::string& revision, const std::string& shown_url) {
  git_object* raw = nullptr;
  // Full names first: a branch called like an abbreviated commit means the branch.
  for (const std::string& candidate : {"refs/heads/" + revision, "refs/tags/" + revision, revision})
    if (git_revparse_single(&raw, repository,
                            (revision.empty() ? "HEAD" : candidate + "^{commit}").c_str()) == 0)
      return GitObject(raw);
  const std::vector<std::string> branches = branches_of(repository);
  if (revision.empty())
    throw Error(ErrorKind::NotFound, shown_url + " has no commit yet",
                "push a first commit, or name a --revision");
  std::string hint =
      "branches there: " + join(std::span(branches).first(std::min<size_t>(branches.size(), 8)), ", ");
  if (auto near = nearest(revision, branches)) hint = "did you mean `" + *near + "`? " + hint;
  throw Error(ErrorKind::NotFound, "there is no branch, tag or commit `" + revision + "` in " + shown_url,
              hint);
}

}  // namespace kiln::detail
