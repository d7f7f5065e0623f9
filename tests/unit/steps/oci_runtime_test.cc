#include "steps/oci_runtime.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/pipe.h"
#include "tests/unit/steps/world.h"

namespace kiln::steps {
namespace {

// A runtime whose container is nothing but a process.
constexpr const char* kRuntime = R"(#!/bin/sh
while [ "$1" != run ]; do shift; done
[ "$2" = --pid-file ] || exit 1
sleep 600 &
echo $! > "$3"
echo up
wait
)";

TEST(OciRuntimeTest, ASandboxEndsThoughItsRuntimeCannotBeRunAnyMore) {
  KILN_NEEDS_ROOT();
  KILN_NEEDS_SANDBOX();
  World world;
  const fs::path program = world.folder() / "runtime";
  write_file(program, kRuntime, 0755);
  OciRuntime runtime(program.native(), world.folder() / "oci-run");
  Pipe out;
  std::unique_ptr<Sandbox> sandbox;
  try {
    sandbox = runtime.start(world.command({"true"}), {-1, out.write.get(), -1});
  } catch (const Error& error) {
    GTEST_SKIP() << "no overlay here: " << error.full();
  }
  out.write.reset();
  char said[3];
  ASSERT_EQ(::read(out.read.get(), said, sizeof said), 3) << "it is up";
  fs::remove(program);
  sandbox.reset();
  EXPECT_EQ(::read(out.read.get(), said, sizeof said), 0) << "the container holds this pipe, too";
}

}  // namespace
}  // namespace kiln::steps
