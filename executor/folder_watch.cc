#include "executor/folder_watch.h"

#include <array>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/error.h"
#include "base/stop_fd.h"

namespace kiln::executor {

FolderWatch::FolderWatch(std::filesystem::path folder)
    : folder_(std::move(folder)), inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!inotify_ || ::inotify_add_watch(inotify_.get(), folder_.c_str(), IN_CREATE | IN_MOVED_TO) < 0)
    throw_errno("watch " + folder_.string());
}

bool FolderWatch::wait_for(const std::string& name, std::stop_token stop) {
  const StopFd stop_fd(stop);
  for (;;) {
    if (std::filesystem::exists(folder_ / name)) return true;
    if (stop.stop_requested()) return false;
    std::array<pollfd, 2> sources{{{inotify_.get(), POLLIN, 0}, {stop_fd.get(), POLLIN, 0}}};
    ::poll(sources.data(), sources.size(), -1);
    std::array<char, 4096> events;  // which they are does not matter: the folder is looked at again
    while (::read(inotify_.get(), events.data(), events.size()) > 0) {
    }
  }
}

}  // namespace kiln::executor
