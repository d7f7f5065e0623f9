#pragma once

#include <filesystem>
#include <string>

#include "base/dirs.h"
#include "base/unique_fd.h"
#include "executor/journal.h"

// Concurrency groups: at most one run of a group at a time on this machine, whatever processes they are in.
//
//   metadata:
//     annotations:
//       kiln.dev/concurrency-group: deploy-$(params.stage)
//       kiln.dev/concurrency: queue               # or cancel-previous
namespace kiln::executor {

// The group of a plan, its params put in; empty: none.
std::string concurrency_group(const dag::Plan& plan);

// Asks every older run of the group that has not ended to end, if the plan says so (cancel-previous): one
// that goes on runs its `finally` first.
void cancel_previous(const dag::Plan& plan, const Journal& journal, const std::filesystem::path& runs,
                     const RunRecord& run);

// A run's place in the queue of its group, and its turn. Held by the process: when that dies, others go on.
// Not thread-safe.
class GroupPlace {
 public:
  // Queues up, by age.
  GroupPlace(const Dirs& dirs, const RunRecord& run);
  GroupPlace(GroupPlace&&) = default;
  ~GroupPlace();

  // Whether it is this run's turn; from then on it stays so. Older runs that wait come first.
  bool try_enter();
  // After try_enter() said no: the run whose end is waited for.
  const std::string& waits_for() const { return waits_for_; }

 private:
  std::filesystem::path folder_, ticket_file_;
  std::string run_, waits_for_;
  UniqueFd ticket_, turn_;
  bool entered_ = false;
};

}  // namespace kiln::executor
