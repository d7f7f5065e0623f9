#include "steps/egress.h"

#include <cstdlib>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/fs.h"

namespace kiln::steps {
namespace {

// A machine whose pasta is a script.
class EgressTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* path = ::getenv("PATH")) path_ = path;
  }
  void TearDown() override { ::setenv("PATH", path_.c_str(), 1); }
  void pasta_is(const std::string& script) {
    write_file(folder_.path() / "pasta", "#!/bin/sh\n" + script + "\n", 0755);
    ::setenv("PATH", (folder_.path().native() + ":" + path_).c_str(), 1);
  }
  std::optional<Error> problem(std::stop_token stop = {}) {
    try {
      const Egress egress(network_, stop);
      return std::nullopt;
    } catch (const Error& error) {
      return error;
    }
  }

 private:
  const TempDir folder_;
  std::string path_;
  // It is never entered here.
  const NetworkNamespace network_{UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)), {}};
};

TEST_F(EgressTest, AStopEndsTheWaitForAPastaThatHangs) {
  pasta_is("exec sleep 600");
  std::stop_source stop;
  stop.request_stop();
  const auto error = problem(stop.get_token());
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::Cancelled);
}

TEST_F(EgressTest, WhatPastaSaysIsTheError) {
  pasta_is("echo no such thing >&2; echo at all >&2; exit 1");
  const auto error = problem();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message(), "pasta says: no such thing; at all");
}

TEST_F(EgressTest, PastaGetsTheNetworkAndNoOtherDescriptor) {
  const UniqueFd careless(::open("/dev/null", O_RDONLY));
  pasta_is("for i in /proc/self/fd/*; do [ -c $i ] && echo ${i##*/} >&2; done; exit 1");
  const auto error = problem();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message(), "pasta says: 0; 3") << "its input and the stand-in for the network";
}

}  // namespace
}  // namespace kiln::steps
