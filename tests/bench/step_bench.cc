// A trivial step against another way to run the same program in the same root, taking turns:
//
//   step_bench ROOTFS RUNS PEER [ARGUMENT…]     "{}" in an argument becomes a fresh number
//
// Prints the medians in milliseconds: Kiln's, the peer's, and that of a bare spawn of the program. Kiln's is
// start + wait + teardown of /bin/true in an overlay on ROOTFS; the peer's from spawn to exit. Not a test.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <vector>

#include "base/fs.h"
#include "base/text.h"
#include "steps/sandbox.h"
#include "tests/bench/timing.h"

extern char** environ;

namespace {

using namespace kiln;
using bench::median;
using bench::milliseconds;

void spawn(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  for (const int fd : {0, 1, 2}) posix_spawn_file_actions_addopen(&quiet, fd, "/dev/null", O_RDWR, 0);
  pid_t pid = -1;
  int status = -1;
  if (::posix_spawnp(&pid, argv[0], &quiet, nullptr, argv.data(), environ) != 0 ||
      ::waitpid(pid, &status, 0) < 0 || status != 0) {
    std::fprintf(stderr, "step_bench: %s failed (status %d)\n", argv[0], status);
    std::exit(1);
  }
  posix_spawn_file_actions_destroy(&quiet);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: step_bench ROOTFS RUNS PEER [ARGUMENT...]\n");
    return 2;
  }
  const TempDir runtime_dir;
  const auto runtime = steps::make_runtime("native", runtime_dir.path());
  steps::SandboxSpec spec;
  spec.id = "step-bench";
  spec.rootfs.lowers = {argv[1]};
  spec.args = {"/bin/true"};
  spec.env = {"PATH=/usr/bin:/bin"};
  const auto ours = [&] {
    const steps::ExitStatus status = runtime->start(spec, {})->wait();
    if (status.code == 0) return;
    std::fprintf(stderr, "step_bench: the step ended with %d %s\n", status.code, status.message.c_str());
    std::exit(1);
  };
  int number = 0;
  const auto theirs = [&] {
    std::vector<std::string> words(argv + 3, argv + argc);
    const std::string fresh = std::to_string(::getpid()) + "-" + std::to_string(number++);
    for (std::string& word : words) word = replace_all(word, "{}", fresh);
    spawn(words);
  };

  std::vector<double> our_times, their_times, bare_times;
  for (int i = -2, runs = std::atoi(argv[2]); i < runs; ++i) {
    const double a = milliseconds(ours), b = milliseconds(theirs),
                 c = milliseconds([] { spawn({"/bin/true"}); });
    if (i < 0) continue;  // warm-up
    our_times.push_back(a);
    their_times.push_back(b);
    bare_times.push_back(c);
  }
  std::printf("%.3f\t%.3f\t%.3f\n", median(our_times), median(their_times), median(bare_times));
}
