#include "executor/event.h"

#include <nlohmann/json.hpp>

#include "tests/unit/executor/support.h"

namespace kiln::executor {
namespace {

TEST(Event, KeepsWhatStepsAndSidecarsLeft) {
  const dag::Plan plan = testing::plan_of("  tasks:\n" + testing::task("a"));
  Event event{.kind = Event::Kind::TaskFinished, .task = 0};
  event.outcome.succeeded = true;
  event.outcome.reason = "Succeeded";
  event.outcome.artifacts = "{\"outputs\":[]}";
  event.outcome.steps = {
      {.name = "s", .reason = "Completed", .results = {{"r", "\xff\n"}}, .artifacts = "{}"}};
  event.outcome.sidecars = {{.name = "db", .exit_code = 143, .reason = "Completed"}};
  EXPECT_EQ(event_from_json(to_json(event, plan), plan), event);
}

}  // namespace
}  // namespace kiln::executor
