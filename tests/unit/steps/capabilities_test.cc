#include "steps/capabilities.h"

#include <gtest/gtest.h>
#include <linux/capability.h>

#include "base/error.h"
#include "steps/wire.h"

namespace kiln::steps {
namespace {

constexpr uint64_t bit(unsigned capability) {
  return uint64_t{1} << capability;
}

TEST(Capabilities, AreTheDefaultSetUnlessSaidOtherwise) {
  EXPECT_EQ(capability_mask({}, {}, false), wire::kRootCapabilities);
  EXPECT_EQ(capability_mask({}, {"ALL"}, false), 0u);
  EXPECT_EQ(capability_mask({"CHOWN", "CAP_KILL"}, {"ALL"}, false), bit(CAP_CHOWN) | bit(CAP_KILL));
  EXPECT_EQ(capability_mask({}, {"NET_RAW"}, false), wire::kRootCapabilities & ~bit(CAP_NET_RAW));
}

TEST(Capabilities, BeyondTheDefaultSetHaveToBeAllowed) {
  EXPECT_THROW(capability_mask({"SYS_ADMIN"}, {}, false), Error);
  EXPECT_THROW(capability_mask({"ALL"}, {}, false), Error);
  EXPECT_EQ(capability_mask({"SYS_PTRACE"}, {"ALL"}, true), bit(CAP_SYS_PTRACE));
}

TEST(Capabilities, OfNoKnownNameAreRefused) {
  EXPECT_THROW(capability_mask({"FLY"}, {}, true), Error);
  EXPECT_THROW(capability_mask({}, {"chown"}, true), Error);
}

TEST(Capabilities, HaveTheirNumbersNames) {
  EXPECT_EQ(capability_name(CAP_SYS_ADMIN), "CAP_SYS_ADMIN");
  EXPECT_EQ(capability_name(CAP_SETFCAP), "CAP_SETFCAP");
  EXPECT_EQ(capability_name(CAP_CHECKPOINT_RESTORE), "CAP_CHECKPOINT_RESTORE");
  EXPECT_EQ(capability_name(63), "");
}

}  // namespace
}  // namespace kiln::steps
