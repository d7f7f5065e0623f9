#include "registry/server/registry_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tests/unit/registry/settings_text.h"

namespace kiln::registry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(RegistrySettings, AreReadFromTheTable) {
  const RegistrySettings read = settings_of(R"(
sparse = true
read-only = true
own-images = true
delete = false
htpasswd = "users"
anonymous-pull = true
[[access]]
user = ["alice", "bob"]
repositories = "team/**"
allow = ["pull", "push", "delete"]
[[access]]
user = "*"
allow = "catalog"
)");
  EXPECT_TRUE(read.sparse && read.read_only && read.own_images && read.anonymous_pull);
  EXPECT_FALSE(read.allow_delete);
  EXPECT_EQ(read.htpasswd, "/etc/kiln/users") << "beside the file that names it";
  ASSERT_EQ(read.access.size(), 2u);
  EXPECT_THAT(read.access[0].users, ElementsAre("alice", "bob"));
  EXPECT_THAT(read.access[0].repositories, ElementsAre("team/**"));
  EXPECT_TRUE(read.access[0].pull && read.access[0].push && read.access[0].remove);
  EXPECT_FALSE(read.access[0].catalog);
  EXPECT_TRUE(read.access[1].catalog);
  EXPECT_FALSE(read.access[1].pull);
}

TEST(RegistrySettings, TheNearerFileWinsKeyByKey) {
  RegistrySettings both;
  both.apply(parse_toml("htpasswd = \"users\"\nsparse = true", "user"), "/home/me/config.toml");
  both.apply(parse_toml("sparse = false", "project"), ".kiln/config.toml");
  EXPECT_FALSE(both.sparse);
  EXPECT_EQ(both.htpasswd, "/home/me/users");
}

TEST(RegistrySettings, ErrorsNameFileAndKey) {
  EXPECT_EQ(problem("sparse = 1"),
            "/etc/kiln/config.toml, [registry]: `sparse` is neither true nor false ()");
  EXPECT_THAT(problem("spare = true"), HasSubstr("`spare` is not a setting (did you mean `sparse`?)"));
  EXPECT_THAT(problem("htpasswd = 5"), HasSubstr("`htpasswd` is no text"));
  EXPECT_THAT(problem("access = true"), HasSubstr("`access` is no list of tables"));
  EXPECT_THAT(problem("[[access]]\nrepositories = \"*\"\nallow = \"pull\""),
              HasSubstr("[[registry.access]]: `user` is missing"));
  EXPECT_THAT(problem("[[access]]\nuser = \"a\"\nrepositories = \"*\"\nallow = \"write\""),
              HasSubstr("`allow` does not know \"write\" (there are pull, push, delete, catalog)"));
  EXPECT_THAT(problem("anonymous-pull = true"), HasSubstr("limits nothing without `htpasswd`"));
}

}  // namespace
}  // namespace kiln::registry
