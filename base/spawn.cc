#include "base/spawn.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>

#include "base/error.h"
#include "base/fs.h"

extern char** environ;

namespace kiln {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

// Out of the way of the numbers that they are to have, so that none is overwritten before it is in its place.
std::vector<UniqueFd> moved_up(std::span<const int> fds) {
  std::vector<UniqueFd> moved(fds.size());
  for (size_t i = 0; i < fds.size(); ++i) {
    if (fds[i] < 0 || fds[i] >= static_cast<int>(fds.size())) continue;
    moved[i] = UniqueFd(::fcntl(fds[i], F_DUPFD_CLOEXEC, static_cast<int>(fds.size())));
    if (!moved[i]) throw_errno("cannot hand a file to a program");
  }
  return moved;
}

}  // namespace

pid_t spawn(const Command& command, std::span<const int> fds, Apart apart) {
  std::vector<std::string> variables;
  if (command.environment)
    for (const auto& [name, value] : *command.environment) variables.push_back(name + "=" + value);
  std::vector<char*> argv = pointers(command.argv);
  std::vector<char*> envp = pointers(variables);
  const std::vector<UniqueFd> moved = moved_up(fds);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  const OnExit destroy([&] {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  });
  for (size_t i = 0; i < fds.size(); ++i) {
    const int number = static_cast<int>(i);
    if (fds[i] < 0)
      posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0);
    else
      posix_spawn_file_actions_adddup2(&actions, moved[i] ? moved[i].get() : fds[i], number);
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, static_cast<int>(fds.size()));
  if (!command.directory.empty()) posix_spawn_file_actions_addchdir_np(&actions, command.directory.c_str());
  posix_spawnattr_setflags(&attributes,
                           (apart == Apart::Session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP) |
                               POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(),
                                   command.environment ? envp.data() : environ);
  if (error != 0)
    throw Error(ErrorKind::Infrastructure, "cannot run " + command.argv[0] + ": " + std::strerror(error),
                error == ENOENT ? "install the program " + command.argv[0] + " or put it into PATH" : "");
  return pid;
}

}  // namespace kiln
