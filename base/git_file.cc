#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "base/git.h"
#include "base/git_session.h"
#include "base/text.h"

namespace kiln {

using namespace detail;

namespace {

using Tree = std::unique_ptr<git_tree, GitFreed<git_tree, git_tree_free>>;
using TreeEntry = std::unique_ptr<git_tree_entry, GitFreed<git_tree_entry, git_tree_entry_free>>;
using Database = std::unique_ptr<git_odb, GitFreed<git_odb, git_odb_free>>;
using Blob = std::unique_ptr<git_blob, GitFreed<git_blob, git_blob_free>>;

constexpr int kLinkLimit = 8;
constexpr size_t kCandidateLimit = 4000;  // paths that a hint may choose from

bool is_commit_id(std::string_view text) {
  return text.size() == GIT_OID_HEXSZ &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_document(std::string_view path) {
  return path.ends_with(".yaml") || path.ends_with(".yml") || path.ends_with(".json");
}

// "./a//b/../c" → "a/c"; nullopt for what leads out of the repository.
std::optional<std::string> clean_path(std::string_view path) {
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(std::move(part));
    } else if (parts.empty()) {
      return std::nullopt;
    } else {
      parts.pop_back();
    }
  }
  return join(parts, "/");
}

std::vector<std::string> documents_of(git_tree* tree) {
  std::vector<std::string> paths;
  git_tree_walk(
      tree, GIT_TREEWALK_PRE,
      [](const char* root, const git_tree_entry* entry, void* payload) {
        auto& found = *static_cast<std::vector<std::string>*>(payload);
        if (git_tree_entry_type(entry) == GIT_OBJECT_BLOB && is_document(git_tree_entry_name(entry)))
          found.push_back(std::string(root) + git_tree_entry_name(entry));
        return found.size() < kCandidateLimit ? 0 : -1;
      },
      &paths);
  return paths;
}

// What else there is, for somebody whose path is not there.
std::string hint_for(const std::string& path, git_tree* tree) {
  const std::vector<std::string> paths = documents_of(tree);
  const auto near = nearest(path, paths);
  if (near) return "did you mean `" + *near + "`?";
  const std::string name = path.substr(path.rfind('/') + 1);
  for (const std::string& candidate : paths)
    if (candidate == name || candidate.ends_with("/" + name)) return "did you mean `" + candidate + "`?";
  if (paths.empty()) return "there is no YAML file in the repository";
  const size_t shown = std::min<size_t>(paths.size(), 8);
  return "there are: " + join(std::span(paths).first(shown), ", ") + (paths.size() > shown ? ", …" : "");
}

class FileReading {
 public:
  FileReading(git_repository* repository, const GitFileRequest& request, std::string where)
      : repository_(repository), request_(request), where_(std::move(where)) {}

  std::string read(const git_object* commit) {
    git_tree* raw = nullptr;
    if (int code = git_commit_tree(&raw, reinterpret_cast<const git_commit*>(commit)))
      throw_git(code, "cannot read " + where_);
    const Tree tree(raw);
    std::string path = cleaned(request_.path);
    for (int links = 0; links < kLinkLimit; ++links) {
      git_tree_entry* entry_raw = nullptr;
      if (path.empty() || git_tree_entry_bypath(&entry_raw, tree.get(), path.c_str()) != 0)
        refuse(ErrorKind::NotFound, "file does not exist", hint_for(path, tree.get()));
      const TreeEntry entry(entry_raw);
      if (git_tree_entry_type(entry.get()) != GIT_OBJECT_BLOB)
        refuse(ErrorKind::NotFound, "it is not a file", hint_for(path, tree.get()));
      const std::string content = content_of(entry.get());
      if (git_tree_entry_filemode(entry.get()) != GIT_FILEMODE_LINK) return content;
      if (content.starts_with('/'))
        refuse(ErrorKind::Invalid, "it is a link that leads out of the repository");
      path = cleaned(path.substr(0, path.rfind('/') + 1) + content);
    }
    refuse(ErrorKind::Invalid, "its links lead in circles");
  }

 private:
  std::string cleaned(const std::string& path) const {
    if (auto clean = clean_path(path)) return *clean;
    refuse(ErrorKind::Invalid, "the path leads out of the repository");
  }
  std::string content_of(const git_tree_entry* entry) const {
    check_size(entry);
    git_blob* raw = nullptr;
    if (int code = git_blob_lookup(&raw, repository_, git_tree_entry_id(entry)))
      throw_git(code, "cannot read " + where_);
    const Blob blob(raw);
    return {static_cast<const char*>(git_blob_rawcontent(blob.get())),
            static_cast<size_t>(git_blob_rawsize(blob.get()))};
  }
  // Before the whole of it is in memory.
  void check_size(const git_tree_entry* entry) const {
    git_odb* raw = nullptr;
    size_t size = 0;
    git_object_t type = GIT_OBJECT_INVALID;
    int code = git_repository_odb(&raw, repository_);
    const Database database(raw);
    if (code == 0) code = git_odb_read_header(&size, &type, database.get(), git_tree_entry_id(entry));
    if (code != 0) throw_git(code, "cannot read " + where_);
    if (size > request_.limit)
      refuse(ErrorKind::Invalid,
             "it has " + format_bytes(size) + ", more than " + format_bytes(request_.limit));
  }
  [[noreturn]] void refuse(ErrorKind kind, const std::string& why, std::string hint = {}) const {
    throw Error(kind, "error opening file \"" + request_.path + "\" of " + where_ + ": " + why,
                std::move(hint));
  }

  git_repository* repository_;
  const GitFileRequest& request_;
  const std::string where_;
};

// The mirror as it is, when that is enough: the revision is a commit that it has.
GitRepository mirror_with(const fs::path& path, const std::string& commit) {
  git_repository* raw = nullptr;
  if (!is_commit_id(commit) || git_repository_open_bare(&raw, path.c_str()) != 0) return nullptr;
  GitRepository repository(raw);
  git_oid id;
  git_object* object = nullptr;
  if (git_oid_fromstr(&id, commit.c_str()) != 0 ||
      git_object_lookup(&object, repository.get(), &id, GIT_OBJECT_COMMIT) != 0)
    return nullptr;
  git_object_free(object);
  return repository;
}

}  // namespace

std::optional<std::string> git_resolve(const std::string& url, const std::string& revision,
                                       std::stop_token stop) {
  start_libgit2();
  const std::string doing = "cannot fetch " + without_password(url);
  git_remote* raw = nullptr;
  if (int code = git_remote_create_detached(&raw, url.c_str())) throw_git(code, doing);
  GitTransfer transfer{stop};  // before the remote, which it must outlive
  const GitRemote remote(raw);
  const git_remote_callbacks callbacks = callbacks_for(transfer);
  git_proxy_options proxy = GIT_PROXY_OPTIONS_INIT;
  proxy.type = GIT_PROXY_AUTO;
  if (int code = git_remote_connect(remote.get(), GIT_DIRECTION_FETCH, &callbacks, &proxy, nullptr))
    throw_git(code, doing, &transfer);
  const git_remote_head** heads = nullptr;
  size_t count = 0;
  if (int code = git_remote_ls(&heads, &count, remote.get())) throw_git(code, doing, &transfer);
  const std::span names(heads, count);
  // "^{}" stands behind an annotated tag for the commit it is about.
  for (const std::string& name : {"refs/heads/" + revision, "refs/tags/" + revision + "^{}",
                                  "refs/tags/" + revision, revision + "^{}", revision})
    for (const git_remote_head* head : names)
      if (name == head->name) return text_of(head->oid);
  return std::nullopt;
}

GitFile git_read_file(const GitFileRequest& request, std::stop_token stop) {
  start_libgit2();
  const std::string shown_url = without_password(request.url);
  const fs::path mirror_path = mirror_of(request.cache, request.url);
  const FileLock lock(mirror_path.string() + ".lock");
  GitRepository mirror = mirror_with(mirror_path, request.revision);
  if (!mirror) mirror = update_mirror(request.url, mirror_path, stop);
  const GitObject commit = find_commit(mirror.get(), request.revision, shown_url);
  FileReading reading(mirror.get(), request, shown_url + " at " + request.revision);
  return {text_of(*git_object_id(commit.get())), reading.read(commit.get())};
}

}  // namespace kiln
