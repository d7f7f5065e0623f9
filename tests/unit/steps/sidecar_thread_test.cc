// What goes wrong in a sidecar's own thread is the sidecar's problem, not the end of kiln.
#include <gtest/gtest.h>

#include "base/error.h"
#include "steps/sidecars.h"

namespace kiln::steps {
namespace {

class BrokenRuntime final : public SandboxRuntime {
 public:
  std::unique_ptr<Sandbox> start(const SandboxSpec&, const Streams&) override {
    throw std::filesystem::filesystem_error("cgroup", std::make_error_code(std::errc::io_error));
  }
};

TEST(SidecarThreadTest, WhatTheStandardLibraryThrowsIsWhyItCouldNotBeStarted) {
  BrokenRuntime runtime;
  Sidecars sidecars(runtime, {}, {}, {}, [](size_t, bool, std::string_view) {});
  const SidecarSpec spec;
  sidecars.start(spec, {}, {});
  const auto problem = sidecars.await_ready({}, std::nullopt);
  ASSERT_TRUE(problem);
  EXPECT_EQ(problem->error.kind(), ErrorKind::Infrastructure);
  EXPECT_NE(problem->error.message().find("cgroup"), std::string::npos) << problem->error.message();
  EXPECT_EQ(sidecars.end().at(0).reason, StepReason::NotStarted);
}

}  // namespace
}  // namespace kiln::steps
