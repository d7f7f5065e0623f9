#include "steps/stream_files.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::steps {
namespace {

[[noreturn]] void refuse(const char* field, const std::string& path, const std::string& why) {
  throw Error(ErrorKind::Invalid, std::string(field) + ".path " + path + " " + why,
              "name a file below /workspace, /tekton/results, or a volume that the step can write");
}

// The mount that shows `path`: the innermost, and of those at one place the last.
const Mount* mount_of(const fs::path& path, const SandboxSpec& sandbox) {
  const Mount* found = nullptr;
  for (const Mount& mount : sandbox.mounts)
    if (is_within(path, mount.destination) &&
        (found == nullptr || is_within(mount.destination, found->destination)))
      found = &mount;
  return found;
}

// What is made in a step's name belongs to whom the mount's source does: inside, that is the step's user.
class OwnedPlace {
 public:
  explicit OwnedPlace(const Mount& mount) : at_(open_source(mount.source, mount.within)) {
    if (::fstat(at_.get(), &owner_) != 0 || !S_ISDIR(owner_.st_mode)) at_.reset();
  }
  bool ok() const { return static_cast<bool>(at_); }

  bool enter(const fs::path& name) {
    const auto folder = [&] {
      return ::openat(at_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    };
    UniqueFd next(folder());
    if (!next && errno == ENOENT && ::mkdirat(at_.get(), name.c_str(), 0755) == 0) {
      if (::geteuid() == 0 &&
          ::fchownat(at_.get(), name.c_str(), owner_.st_uid, owner_.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
      next.reset(folder());
    }
    at_ = std::move(next);
    return ok();
  }

  UniqueFd file(const fs::path& name) {
    constexpr int kFlags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    UniqueFd made(::openat(at_.get(), name.c_str(), kFlags | O_CREAT | O_EXCL, 0644));
    if (made) {
      if (::geteuid() == 0 && ::fchown(made.get(), owner_.st_uid, owner_.st_gid) != 0) made.reset();
      return made;
    }
    UniqueFd there(::openat(at_.get(), name.c_str(), kFlags));
    struct stat st;
    if (there && (::fstat(there.get(), &st) != 0 || !S_ISREG(st.st_mode))) there.reset();
    return there;
  }

 private:
  UniqueFd at_;
  struct stat owner_ {};
};

}  // namespace

StreamFiles::File StreamFiles::open(const std::string& text, const SandboxSpec& sandbox, const char* field) {
  if (text.empty()) return {};
  const fs::path path = (fs::path("/workspace") / text).lexically_normal();
  const Mount* mount = mount_of(path, sandbox);
  if (mount == nullptr || mount->kind != Mount::Kind::Bind || path == mount->destination ||
      !path.has_filename())
    refuse(field, path, "is in no folder that outlives the step");
  if (mount->read_only) refuse(field, path, "is in a folder that the step cannot write");
  OwnedPlace place(*mount);
  const fs::path below = path.lexically_relative(mount->destination);
  for (const fs::path& part : below.parent_path())
    if (place.ok() && !place.enter(part)) break;
  UniqueFd file = place.ok() ? place.file(below.filename()) : UniqueFd();
  if (!file) refuse(field, path, "is no plain file, or a link is on the way to it");
  return {path, std::move(file)};
}

StreamFiles::StreamFiles(const StepSpec& step, const SandboxSpec& sandbox)
    : out_(open(step.stdout_path, sandbox, "stdoutConfig")),
      err_(open(step.stderr_path, sandbox, "stderrConfig")) {}

void StreamFiles::write(bool is_stderr, std::string_view bytes) {
  const File& file = is_stderr ? err_ : out_;
  if (file.fd) write_all(file.fd.get(), bytes, file.path);
}

}  // namespace kiln::steps
