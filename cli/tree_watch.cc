#include "cli/tree_watch.h"

#include <array>
#include <fnmatch.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/stop_fd.h"
#include "base/text.h"

namespace kiln::cli {
namespace {

constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB;
constexpr int kQuiet = 100;  // milliseconds: editors and git write several files one after another

fs::path normal(const fs::path& path) {
  std::error_code missing;
  const fs::path real = fs::weakly_canonical(path, missing);
  return missing ? fs::absolute(path).lexically_normal() : real;
}

}  // namespace

TreeWatch::TreeWatch(const std::vector<fs::path>& paths)
    : inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!inotify_) throw_errno("watch for changes");
  for (const fs::path& given : paths) {
    const fs::path path = normal(given);
    if (fs::is_directory(path)) {
      add_tree(path, path);
    } else {
      files_.insert(path);
      named_.insert(path);
    }
  }
  // After the trees, whose watches of the same folders would be narrowed else.
  for (const fs::path& file : named_) add_folder(file.parent_path(), {});
}

bool TreeWatch::add_folder(const fs::path& folder, const fs::path& top) {
  const int watch = ::inotify_add_watch(inotify_.get(), folder.c_str(), kEvents | IN_ONLYDIR);
  if (watch < 0) {
    if (errno == ENOSPC) watches_all_ = false;  // the user's limit of watches
    return false;
  }
  const auto [at, fresh] = folders_.try_emplace(watch, Folder{folder, top});
  if (!fresh && at->second.top.empty()) at->second.top = top;
  return true;
}

void TreeWatch::add_tree(const fs::path& folder, const fs::path& top) {
  if (folders_.size() >= kMostFolders) {
    watches_all_ = false;
    return;
  }
  if (!add_folder(folder, top)) return;
  read_ignored(folder);
  std::error_code gone;
  for (const auto& entry :
       fs::directory_iterator(folder, fs::directory_options::skip_permission_denied, gone)) {
    const bool is_folder = entry.is_directory(gone) && !entry.is_symlink(gone);
    if (is_ignored(entry.path(), is_folder)) continue;
    if (is_folder)
      add_tree(entry.path(), top);
    else
      files_.insert(entry.path());
  }
}

void TreeWatch::read_ignored(const fs::path& folder) {
  std::string text;
  try {
    text = read_file(folder / ".gitignore", 1 << 20);
  } catch (const Error&) {
    return;
  }
  for (const std::string& line : split(text, '\n')) {
    std::string_view glob = trim(line);
    if (glob.empty() || glob.front() == '#' || glob.front() == '!') continue;
    Rule rule{folder, {}, false, glob.ends_with('/')};
    if (rule.folders_only) glob.remove_suffix(1);
    if (glob.starts_with("**/")) glob.remove_prefix(3);
    rule.anchored = glob.find('/') != std::string_view::npos;
    if (glob.starts_with('/')) glob.remove_prefix(1);
    rule.glob = glob;
    if (!rule.glob.empty()) ignored_.push_back(std::move(rule));
  }
}

bool TreeWatch::is_ignored(const fs::path& path, bool is_folder) const {
  if (path.filename() == ".git") return true;
  for (const Rule& rule : ignored_) {
    if ((rule.folders_only && !is_folder) || !is_within(path, rule.folder)) continue;
    const std::string text =
        rule.anchored ? path.lexically_relative(rule.folder).string() : path.filename().string();
    if (::fnmatch(rule.glob.c_str(), text.c_str(), FNM_PATHNAME) == 0) return true;
  }
  return false;
}

bool TreeWatch::take_events(bool known_only) {
  bool counts = false;
  alignas(inotify_event) std::array<char, 16 << 10> buffer;
  for (ssize_t n; (n = ::read(inotify_.get(), buffer.data(), buffer.size())) > 0;) {
    for (const char* at = buffer.data(); at < buffer.data() + n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      if (event->mask & IN_Q_OVERFLOW) counts = true;  // what was lost may have counted
      const auto found = folders_.find(event->wd);
      if (found == folders_.end() || event->len == 0) continue;
      const Folder folder = found->second;
      const fs::path path = folder.path / event->name;
      const bool is_folder = (event->mask & IN_ISDIR) != 0;
      if (folder.top.empty() ? !named_.contains(path) : is_ignored(path, is_folder)) continue;
      if (is_folder && (event->mask & (IN_CREATE | IN_MOVED_TO))) {
        const std::set<fs::path> before = files_;
        add_tree(path, folder.top);
        if (known_only) files_ = before;
      }
      // A new file has no content yet: its IN_CLOSE_WRITE follows.
      if (!is_folder && (event->mask & IN_CREATE) && !fs::is_symlink(path)) continue;
      if (files_.contains(path) || (!known_only && !is_folder)) counts = true;
      if (!known_only && !is_folder) files_.insert(path);
    }
  }
  return counts;
}

bool TreeWatch::wait(std::stop_token stop, bool known_only) {
  const StopFd stop_fd(stop);
  bool changed = false;
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> sources{{{inotify_.get(), POLLIN, 0}, {stop_fd.get(), POLLIN, 0}}};
    const int ready = ::poll(sources.data(), sources.size(), changed ? kQuiet : -1);
    if (ready == 0) return true;
    if (sources[0].revents && take_events(known_only)) changed = true;
  }
  return false;
}

}  // namespace kiln::cli
