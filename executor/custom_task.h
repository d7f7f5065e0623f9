#pragma once

#include <filesystem>
#include <stop_token>
#include <string_view>

#include "base/clock.h"
#include "dag/plan.h"
#include "executor/event.h"

namespace kiln::executor {

// A custom task as its controller gets it.
struct CustomRequest {
  dag::CustomTask task;
  std::vector<dag::Param> params;
  std::filesystem::path approval;  // where decide() leaves what was decided
  Time started{};                  // also when it is carried on by another process
};

// Kinds that Kiln runs itself, under whatever apiVersion:
//   Wait                     param `duration` ("90s"): succeeds when that time has passed
//   Approval, ApprovalTask   waits for `kiln runs approve`; results `approved-by` and `message`
bool has_controller(const dag::CustomTask& task);

// Blocks until the custom task has ended or `stop` was requested. Throws Invalid for params it cannot use.
// A decision stays where it is until forget_decision(): it is not lost when its end is not journalled.
Outcome run_custom_task(const CustomRequest& request, const Clock& clock, std::stop_token stop);

// Approvals that wait in a run (runs/<id>), each as decide() takes it.
std::vector<std::filesystem::path> waiting_approvals(const std::filesystem::path& run);

void forget_decision(const std::filesystem::path& approval);

struct Decision {
  bool approved = true;
  std::string by, message;
};
// Ends the wait of an Approval, in whatever process it is. Throws NotFound when none waits there.
void decide(const std::filesystem::path& approval, const Decision& decision);

}  // namespace kiln::executor
