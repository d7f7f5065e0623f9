#include "steps/step_image.h"

#include <algorithm>
#include <charconv>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/open_folder.h"
#include "base/text.h"

namespace kiln::steps {
namespace {

constexpr size_t kFileLimit = 1 << 20;

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct PasswdEntry {
  std::string name, home;
  uint32_t uid = 0, gid = 0;
};

template <class Matches>
std::optional<PasswdEntry> find_passwd(std::string_view passwd, Matches matches) {
  for (const std::string& line : split(passwd, '\n')) {
    const std::vector<std::string> fields = split(line, ':');
    if (fields.size() < 6) continue;
    const auto uid = number(fields[2]), gid = number(fields[3]);
    if (!uid || !gid) continue;
    PasswdEntry entry{fields[0], fields[5], *uid, *gid};
    if (matches(entry)) return entry;
  }
  return std::nullopt;
}

std::vector<uint32_t> groups_of(std::string_view name, std::string_view group) {
  std::vector<uint32_t> groups;
  for (const std::string& line : split(group, '\n')) {
    const std::vector<std::string> fields = split(line, ':');
    if (fields.size() < 4) continue;
    const std::vector<std::string> members = split(fields[3], ',');
    if (std::find(members.begin(), members.end(), name) == members.end()) continue;
    if (const auto gid = number(fields[2])) groups.push_back(*gid);
  }
  return groups;
}

std::optional<uint32_t> find_group(std::string_view name, std::string_view group) {
  for (const std::string& line : split(group, '\n')) {
    const std::vector<std::string> fields = split(line, ':');
    if (fields.size() >= 3 && fields[0] == name) return number(fields[2]);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> read_image_file(const std::vector<fs::path>& lowers, std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  const std::string relative(path);
  for (const fs::path& lower : lowers) {
    const UniqueFd root(::open(lower.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) throw_errno("cannot open the layer " + lower.string());
    const UniqueFd file = open_resolved(root.get(), relative, O_RDONLY | O_NONBLOCK | O_NOCTTY,
                                        RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    struct stat st;
    if (!file) {
      // A whiteout (a device nobody can open) says that the layers below do not count.
      if (::fstatat(root.get(), relative.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode))
        return std::nullopt;
      continue;
    }
    if (::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) return std::nullopt;
    std::string content(std::min<size_t>(static_cast<size_t>(st.st_size), kFileLimit), '\0');
    const ssize_t n = ::pread(file.get(), content.data(), content.size(), 0);
    content.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return content;
  }
  return std::nullopt;
}

ImageUser resolve_user(std::string_view user, std::string_view passwd, std::string_view group,
                       std::optional<uint32_t> run_as_user, std::optional<uint32_t> run_as_group) {
  ImageUser result;
  std::string_view wanted_group;
  std::optional<PasswdEntry> entry;
  if (run_as_user) {
    entry = find_passwd(passwd, [&](const PasswdEntry& e) { return e.uid == *run_as_user; });
    result.uid = *run_as_user;
  } else {
    if (const size_t colon = user.find(':'); colon != std::string_view::npos) {
      wanted_group = user.substr(colon + 1);
      user = user.substr(0, colon);
    }
    const auto uid = user.empty() ? 0 : number(user);
    entry = find_passwd(passwd, [&](const PasswdEntry& e) { return uid ? e.uid == *uid : e.name == user; });
    if (!uid && !entry)
      throw Error(ErrorKind::Invalid,
                  "the image's user \"" + std::string(user) + "\" is not in its /etc/passwd",
                  "set securityContext.runAsUser in the step");
    result.uid = uid ? *uid : entry->uid;
  }
  if (entry) {
    result.gid = entry->gid;
    result.home = entry->home.empty() ? "/" : entry->home;
    if (wanted_group.empty()) result.groups = groups_of(entry->name, group);
  }
  if (run_as_group) {
    result.gid = *run_as_group;
  } else if (!wanted_group.empty()) {
    auto gid = number(wanted_group);
    if (!gid) gid = find_group(wanted_group, group);
    if (!gid)
      throw Error(ErrorKind::Invalid,
                  "the image's group \"" + std::string(wanted_group) + "\" is not in its /etc/group",
                  "set securityContext.runAsGroup in the step");
    result.gid = *gid;
  }
  return result;
}

}  // namespace kiln::steps
