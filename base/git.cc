#include "base/git.h"

#include <algorithm>

#include "base/error.h"
#include "base/fs.h"
#include "base/git_session.h"

namespace kiln {

using namespace detail;

namespace {

// What to fetch besides branches and tags: what was asked for, and the revision when it is a full name.
std::vector<std::string> refspecs_of(const GitCheckout& request) {
  std::vector<std::string> specs;
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

struct SubmoduleUpdate {
  const GitCheckout& request;
  const std::stop_token& stop;
  int depth = 0;
};

void update_submodules(git_repository* repository, const SubmoduleUpdate& update) {
  constexpr int kDeepest = 10;
  if (update.depth >= kDeepest) throw Error(ErrorKind::Failed, "submodules are nested too deeply");
  std::vector<std::string> names;
  if (int code = git_submodule_foreach(
          repository,
          [](git_submodule*, const char* name, void* payload) {
            static_cast<std::vector<std::string>*>(payload)->emplace_back(name);
            return 0;
          },
          &names))
    throw_git(code, "cannot read the list of submodules");
  for (const std::string& name : names) {
    const std::string doing = "cannot fetch the submodule " + name;
    git_submodule* raw = nullptr;
    if (int code = git_submodule_lookup(&raw, repository, name.c_str())) throw_git(code, doing);
    std::unique_ptr<git_submodule, GitFreed<git_submodule, git_submodule_free>> submodule(raw);
    GitTransfer transfer{update.stop, update.request.verify_tls, update.request.cache / "git"};
    git_submodule_update_options options = GIT_SUBMODULE_UPDATE_OPTIONS_INIT;
    options.fetch_opts.proxy_opts.type = GIT_PROXY_AUTO;
    options.fetch_opts.callbacks = callbacks_for(transfer);
    if (int code = git_submodule_update(submodule.get(), 1, &options)) throw_git(code, doing, &transfer);
    git_repository* inner = nullptr;
    if (int code = git_submodule_open(&inner, submodule.get())) throw_git(code, doing);
    const GitRepository opened(inner);
    update_submodules(opened.get(), {update.request, update.stop, update.depth + 1});
  }
}

// Whether it is there already. Throws when it is and holds something.
bool check_destination(const fs::path& folder) {
  std::error_code problem;
  const bool there = fs::exists(folder, problem);
  const bool empty = problem || !there || fs::is_empty(folder, problem);
  if (problem) throw_errno(problem.value(), "cannot read " + folder.string());
  if (!empty)
    throw Error(ErrorKind::Failed, folder.string() + " is not empty",
                "a checkout needs an empty folder; remove it or choose another");
  return there;
}

}  // namespace

std::string without_password(const std::string& url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  const size_t user = scheme + 3, at = url.rfind('@', url.find('/', user));
  if (at == std::string::npos || at < user) return url;
  // Over ssh the user is whom to log in as.
  const size_t colon = url.find(':', user);
  const size_t kept = url.starts_with("ssh://") ? std::min(colon, at) : user;
  return url.substr(0, kept) + url.substr(kept == user ? at + 1 : at);
}

std::string git_checkout(const GitCheckout& request, std::stop_token stop) {
  start_libgit2();
  const std::string shown_url = without_password(request.url);
  if (request.url.empty()) throw Error(ErrorKind::Usage, "the repository URL is empty", "pass -p url=…");
  const bool destination_existed = check_destination(request.destination);

  const fs::path mirror_path = mirror_of(request.cache, request.url);
  const FileLock lock(mirror_path.string() + ".lock");
  const GitRepository mirror =
      update_mirror(request.url, mirror_path, stop, {refspecs_of(request), request.verify_tls});
  const GitObject commit = find_commit(mirror.get(), request.revision, shown_url);

  make_dirs(request.destination);
  OnExit undo([&] {
    if (!destination_existed) try_remove_tree(request.destination);
    std::error_code problem;
    for (fs::directory_iterator entry(request.destination, problem), none; !problem && entry != none;
         entry.increment(problem))
      try_remove_tree(entry->path());
  });
  git_clone_options options = GIT_CLONE_OPTIONS_INIT;
  options.local = GIT_CLONE_LOCAL_NO_LINKS;
  options.checkout_opts.checkout_strategy = GIT_CHECKOUT_NONE;
  git_repository* raw = nullptr;
  if (int code = git_clone(&raw, mirror_path.c_str(), request.destination.c_str(), &options))
    throw_git(code, "cannot clone " + shown_url);
  const GitRepository clone(raw);
  if (int code = git_remote_set_url(clone.get(), "origin", shown_url.c_str()))
    throw_git(code, "cannot name " + shown_url + " as where the clone comes from");
  git_checkout_options checkout = GIT_CHECKOUT_OPTIONS_INIT;
  checkout.checkout_strategy = GIT_CHECKOUT_FORCE;
  git_object* local_raw = nullptr;
  if (int code = git_object_lookup(&local_raw, clone.get(), git_object_id(commit.get()), GIT_OBJECT_COMMIT))
    throw_git(code, "cannot check out " + shown_url);
  const GitObject local(local_raw);
  if (int code = git_checkout_tree(clone.get(), local.get(), &checkout))
    throw_git(code, "cannot check out " + shown_url);
  if (int code = git_repository_set_head_detached(clone.get(), git_object_id(local.get())))
    throw_git(code, "cannot check out " + shown_url);
  if (request.submodules) update_submodules(clone.get(), {request, stop});
  undo.dismiss();

  return text_of(*git_object_id(local.get()));
}

}  // namespace kiln
