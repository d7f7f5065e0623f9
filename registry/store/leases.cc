#include "registry/store/leases.h"

#include <cerrno>
#include <fcntl.h>
#include <sstream>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "registry/store/store.h"
#include "registry/store/store_blobs.h"

namespace kiln::registry {
namespace {

constexpr std::string_view kSince = "since", kContent = "content", kSnapshot = "snapshot";

std::string line(std::string_view word, std::string_view value) {
  return std::string(word) + " " + std::string(value) + "\n";
}

void add_to(LeasedContent& all, const std::string& text) {
  std::istringstream words(text);
  for (std::string word, value; words >> word >> value;) {
    if (word == kSince) {
      all.since = std::min(all.since, Time(Duration(std::strtoll(value.c_str(), nullptr, 10))));
    } else if (const auto digest = Digest::parse(value)) {
      if (word == kContent) all.roots.insert(*digest);
      if (word == kSnapshot) all.snapshots.insert(*digest);
    }
  }
}

}  // namespace

Lease::Lease(const Store& store, std::string_view purpose, Spares spares) : root_(store.root()) {
  const fs::path folder = root_ / "leases";
  make_dirs(folder);
  path_ = folder / (std::string(purpose) + "-" + random_hex(8));
  const FileLock lock = detail::lock_sweep(root_, FileLock::Mode::Shared);
  fd_ = open_file(path_, O_RDWR | O_CREAT | O_EXCL);
  OnExit gone([&] { ::unlink(path_.c_str()); });
  detail::lock_for_life(fd_.get(), path_);
  gone.dismiss();
  if (spares == Spares::Added) return;
  const Duration now = system_clock().now().time_since_epoch() - detail::kKeepAgainAfter;
  write_all(fd_.get(), line(kSince, std::to_string(now.count())), "cannot write " + path_.string());
}

Lease::~Lease() {
  if (fd_) ::unlink(path_.c_str());
}

void Lease::add(const Digest& digest, std::span<const Digest> snapshots) {
  std::string text = line(kContent, digest.text());
  for (const Digest& snapshot : snapshots) text += line(kSnapshot, snapshot.text());
  const FileLock lock = detail::lock_sweep(root_, FileLock::Mode::Shared);
  write_all(fd_.get(), text, "cannot write " + path_.string());
}

LeasedContent read_leases(const fs::path& root) {
  LeasedContent all;
  std::error_code problem;
  const fs::path folder = root / "leases";
  const fs::directory_iterator files(folder, problem);
  if (problem == std::errc::no_such_file_or_directory) return all;
  // What cannot be read is not empty: steps may stand on what it holds.
  if (problem) throw_errno(problem.value(), "cannot read " + folder.string());
  for (const auto& entry : files) {
    const UniqueFd fd(::open(entry.path().c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    if (!fd && errno == ENOENT) continue;  // ended just now
    if (!fd) throw_errno("cannot read " + entry.path().string());
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0)
      ::unlink(entry.path().c_str());
    else
      add_to(all, read_file("/proc/self/fd/" + std::to_string(fd.get())));
  }
  return all;
}

}  // namespace kiln::registry
