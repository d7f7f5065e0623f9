#include "steps/host_passwords.h"

#include <gmock/gmock.h>

#include "base/fs.h"
#include "base/text.h"

namespace kiln::steps {
namespace {

using testing::Contains;
using testing::Not;

TEST(HostPasswords, AreThoseOfRegistriesAndOfGit) {
  const TempDir home;
  make_dirs(home.path() / ".docker");
  make_dirs(home.path() / ".config/git");
  const std::string pair = base64_encode("bob:docker-word");
  write_file(home.path() / ".docker/config.json",
             R"({"auths":{"r.example":{"auth":")" + pair + R"("},"t.example":{"identitytoken":"a-token"}}})");
  write_file(home.path() / ".git-credentials", "https://bob:git%2Fword@forge.example\nno url\nhttps://x@y\n");
  write_file(home.path() / ".config/git/credentials", "https://bob:other-word@forge.example\n");
  const std::vector<std::string> found = host_passwords({{"HOME", home.path().string()}});
  for (const char* word : {"docker-word", "a-token", "git/word", "other-word"})
    EXPECT_THAT(found, Contains(word));
  EXPECT_THAT(found, Contains(pair));
  EXPECT_THAT(found, Not(Contains("bob")));
}

TEST(HostPasswords, OfFilesThatAreNotThereOrNoJsonAreNone) {
  const TempDir home;
  EXPECT_TRUE(host_passwords({{"HOME", home.path().string()}}).empty());
  make_dirs(home.path() / ".docker");
  write_file(home.path() / ".docker/config.json", "{");
  EXPECT_TRUE(host_passwords({{"HOME", home.path().string()}}).empty());
  EXPECT_TRUE(host_passwords({}).empty());
}

}  // namespace
}  // namespace kiln::steps
