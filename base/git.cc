#include "base/git.h"

#include "base/error.h"
#include "base/fs.h"
#include "base/git_session.h"

namespace kiln {

using namespace detail;

GitCommit git_checkout(const GitCheckout& request, std::stop_token stop) {
  start_libgit2();
  const std::string shown_url = without_password(request.url);
  if (request.url.empty()) throw Error(ErrorKind::Usage, "the repository URL is empty", "pass -p url=…");
  const bool destination_existed = fs::exists(request.destination);
  if (destination_existed && !fs::is_empty(request.destination))
    throw Error(ErrorKind::Failed, request.destination.string() + " is not empty",
                "a checkout needs an empty folder; remove it or choose another");

  const fs::path mirror_path = mirror_of(request.cache, request.url);
  const FileLock lock(mirror_path.string() + ".lock");
  const GitRepository mirror = update_mirror(request.url, mirror_path, stop);
  const GitObject commit = find_commit(mirror.get(), request.revision, shown_url);

  make_dirs(request.destination);
  OnExit undo([&] {
    for (const auto& entry : fs::directory_iterator(request.destination)) remove_tree(entry.path());
    if (!destination_existed) remove_tree(request.destination);
  });
  git_clone_options options = GIT_CLONE_OPTIONS_INIT;
  options.local = GIT_CLONE_LOCAL_NO_LINKS;
  options.checkout_opts.checkout_strategy = GIT_CHECKOUT_NONE;
  git_repository* raw = nullptr;
  if (int code = git_clone(&raw, mirror_path.c_str(), request.destination.c_str(), &options))
    throw_git(code, "cannot clone " + shown_url);
  const GitRepository clone(raw);
  git_remote_set_url(clone.get(), "origin", shown_url.c_str());
  git_checkout_options checkout = GIT_CHECKOUT_OPTIONS_INIT;
  checkout.checkout_strategy = GIT_CHECKOUT_FORCE;
  git_object* local_raw = nullptr;
  if (int code = git_object_lookup(&local_raw, clone.get(), git_object_id(commit.get()), GIT_OBJECT_COMMIT))
    throw_git(code, "cannot check out " + shown_url);
  const GitObject local(local_raw);
  if (int code = git_checkout_tree(clone.get(), local.get(), &checkout))
    throw_git(code, "cannot check out " + shown_url);
  git_repository_set_head_detached(clone.get(), git_object_id(local.get()));
  undo.dismiss();

  return {text_of(*git_object_id(local.get())), git_commit_time(reinterpret_cast<git_commit*>(local.get()))};
}

}  // namespace kiln
