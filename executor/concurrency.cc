#include "executor/concurrency.h"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/named_lock.h"
#include "dag/params.h"
#include "executor/control.h"

namespace kiln::executor {
namespace {

constexpr const char* kTurn = "turn";

std::string annotation(const dag::Plan& plan, std::string_view name) {
  const auto found = plan.annotations.find(std::string(name));
  if (found == plan.annotations.end()) return "";
  dag::Variables params;
  dag::set_params(params, plan.params);
  return dag::substitute(found->second, params);
}

// Names that sort as the runs' ages do.
std::string ticket_name(const RunRecord& run) {
  char text[32];
  std::snprintf(text, sizeof text, "%019lld", static_cast<long long>(run.order));
  return text;
}

// Who holds the lock on a file; nullopt when nobody does.
std::optional<std::string> holder(const fs::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::flock(fd.get(), LOCK_SH | LOCK_NB) == 0) return std::nullopt;
  return read_file(file, 4096);
}

void write_name(int fd, const std::string& run) {
  if (::ftruncate(fd, 0) == 0) write_all_at(fd, run, 0, "concurrency group");
}

}  // namespace

std::string concurrency_group(const dag::Plan& plan) {
  return annotation(plan, dag::annotation::kConcurrencyGroup);
}

void cancel_previous(const dag::Plan& plan, const Journal& journal, const fs::path& runs,
                     const RunRecord& run) {
  if (run.group.empty() || annotation(plan, dag::annotation::kConcurrency) != "cancel-previous") return;
  for (const RunRecord& other : journal.unfinished()) {
    if (other.group != run.group || other.order >= run.order || other.owner == Owner::Nobody) continue;
    try {
      request_cancel(runs / other.id, "CancelledRunFinally", other.owner == Owner::Server);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::NotFound) throw;  // else its kiln died
    }
  }
}

GroupPlace::GroupPlace(const Dirs& dirs, const RunRecord& run)
    : folder_(dirs.state / "groups" / std::string(sha256(run.group).encoded().substr(0, 32))),
      ticket_file_(folder_ / ticket_name(run)),
      run_(run.id) {
  make_dirs(folder_, 0700);
  // Whoever finds a ticket of the dead removes it, perhaps just before it is locked here.
  ticket_ = lock_named(ticket_file_, O_RDWR | O_CREAT, 0600, Wait::Yes);
  write_name(ticket_.get(), run_);
  turn_ = open_file(folder_ / kTurn, O_RDWR | O_CREAT, 0600);
}

GroupPlace::~GroupPlace() {
  if (ticket_) ::unlink(ticket_file_.c_str());
}

bool GroupPlace::try_enter() {
  if (entered_) return true;
  std::vector<fs::path> ahead;
  for (const auto& entry : fs::directory_iterator(folder_))
    if (entry.path().filename() != kTurn && entry.path() < ticket_file_) ahead.push_back(entry.path());
  std::ranges::sort(ahead);
  for (const fs::path& ticket : ahead) {
    if (const auto other = holder(ticket)) {
      waits_for_ = *other;
      return false;
    }
    ::unlink(ticket.c_str());
  }
  if (::flock(turn_.get(), LOCK_EX | LOCK_NB) != 0) {
    waits_for_ = holder(folder_ / kTurn).value_or("");
    return false;
  }
  write_name(turn_.get(), run_);
  entered_ = true;
  return true;
}

}  // namespace kiln::executor
