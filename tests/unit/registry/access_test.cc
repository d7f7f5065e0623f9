#include "registry/server/access.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "registry/server/tokens.h"

namespace kiln::registry {
namespace {

TEST(Access, PatternsMeanComponentsOrEverything) {
  const struct {
    const char *pattern, *repository;
    bool matches;
  } cases[] = {{"team/app", "team/app", true},
               {"team/app", "team/ap", false},
               {"team/app", "team/apps", false},
               {"team/*", "team/app", true},
               {"team/*", "team/a/b", false},
               {"team/*", "team/", true},
               {"team/**", "team/a/b/c", true},
               {"team/**", "team", false},
               {"team/**", "teams/a", false},
               {"**", "a", true},
               {"*", "a", true},
               {"*", "a/b", false},
               {"*/app", "x/app", true},
               {"*/app", "x/y/app", false},
               {"**/app", "x/y/app", true},
               {"a*c/**/z", "abc/d/e/z", true},
               {"a*c/**/z", "abc/z", false},
               {"", "a", false},
               {"**a**b**", "xxayyb/z", true}};
  for (const auto& c : cases)
    EXPECT_EQ(matches_repository(c.pattern, c.repository), c.matches) << c.pattern << " " << c.repository;
  std::string pattern, name(255, 'a');
  for (int i = 0; i < 100; ++i) pattern += "**a";
  EXPECT_FALSE(matches_repository(pattern + "b", name)) << "and soon";
}

RegistrySettings with_rules() {
  RegistrySettings settings;
  settings.htpasswd = "users";
  settings.access = {{{"alice"}, {"team/**", "mine"}, true, true, false, false},
                     {{AccessRule::kAnyUser}, {"shared/*"}, true, false, false, true},
                     {{AccessRule::kAnonymous}, {"public"}, true, false, false, false}};
  return settings;
}

TEST(Access, RulesAddUp) {
  const Access access(with_rules());
  EXPECT_TRUE(access.allows("alice", "team/app", Right::Push));
  EXPECT_FALSE(access.allows("alice", "team/app", Right::Delete));
  EXPECT_TRUE(access.allows("alice", "mine", Right::Pull));
  EXPECT_TRUE(access.allows("alice", "shared/x", Right::Pull));
  EXPECT_FALSE(access.allows("alice", "shared/x", Right::Push));
  EXPECT_FALSE(access.allows("bob", "team/app", Right::Pull));
  EXPECT_TRUE(access.allows("bob", "public", Right::Pull));
  EXPECT_TRUE(access.allows("", "public", Right::Pull));
  EXPECT_FALSE(access.allows("", "shared/x", Right::Pull));
  EXPECT_FALSE(access.allows("", "team/app", Right::Pull));
  EXPECT_TRUE(access.allows_catalog("bob"));
  EXPECT_FALSE(access.allows_catalog(""));
}

TEST(Access, WithoutRulesEveryUserMayDoEverything) {
  RegistrySettings settings;
  settings.htpasswd = "users";
  EXPECT_TRUE(Access(settings).allows("bob", "any/thing", Right::Delete));
  EXPECT_TRUE(Access(settings).allows_catalog("bob"));
  EXPECT_FALSE(Access(settings).allows("", "any/thing", Right::Pull));
  settings.anonymous_pull = true;
  EXPECT_TRUE(Access(settings).allows("", "any/thing", Right::Pull));
  EXPECT_FALSE(Access(settings).allows("", "any/thing", Right::Push));
  EXPECT_FALSE(Access(settings).allows_catalog(""));
}

TEST(Scopes, AreReadAndWritten) {
  const auto scopes = parse_scopes("repository:team/app:pull,push registry:catalog:* repository:a:*");
  ASSERT_EQ(scopes.size(), 3u);
  EXPECT_EQ(scopes[0], (Scope{false, "team/app", {Right::Pull, Right::Push}}));
  EXPECT_TRUE(scopes[1].catalog);
  EXPECT_EQ(scopes[2].rights, (std::set<Right>{Right::Pull, Right::Push, Right::Delete}));
  EXPECT_EQ(scopes[0].text(), "repository:team/app:pull,push");
  EXPECT_EQ(parse_scopes("repository(plugin):a:pull")[0].repository, "a");
  for (const char* bad :
       {"", " ", "repository", "repository:a", "repository:UPPER:pull", "repository:../a:pull",
        "registry:catalog:pull", "server:x:pull", "::", "repository::pull"})
    EXPECT_TRUE(parse_scopes(bad).empty()) << bad;
  EXPECT_TRUE(parse_scopes("repository:a:execute")[0].rights.empty());
}

class TokensTest : public testing::Test {
 protected:
  Token token() {
    return {"alice", {{false, "team/app", {Right::Pull}}}, {}, Time(std::chrono::seconds(1300))};
  }
  Time now_{std::chrono::seconds(1000)};
  TempDir dir_;
  const fs::path key_ = dir_.path() / "state" / "key";
};

TEST_F(TokensTest, AreGoodUntilTheyExpire) {
  const Tokens tokens({});
  const std::string text = tokens.issue(token(), now_);
  const auto read = tokens.check(text, now_ + std::chrono::seconds(299));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->user, "alice");
  EXPECT_EQ(read->scopes, token().scopes);
  EXPECT_TRUE(read->fingerprint.empty());
  EXPECT_FALSE(tokens.check(text, now_ + std::chrono::seconds(300)));
}

TEST_F(TokensTest, SayWhichPasswordTheyAreOfAndWhatTheyAreFor) {
  const Tokens tokens({});
  for (const bool refresh : {false, true}) {
    Token made = token();
    made.fingerprint = "0123456789ab";
    made.refresh = refresh;
    const auto read = tokens.check(tokens.issue(made, now_), now_);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->fingerprint, made.fingerprint);
    EXPECT_EQ(read->refresh, refresh);
  }
}

TEST_F(TokensTest, NothingInThemCanBeChanged) {
  const Tokens tokens({});
  const std::string text = tokens.issue(token(), now_);
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(tokens.check(changed, now_)) << i;
    EXPECT_FALSE(tokens.check(text.substr(0, i), now_)) << i;
  }
  EXPECT_FALSE(tokens.check(text + "A", now_));
  // {"alg":"none"} with the same claims, and no signature.
  const std::string claims = text.substr(text.find('.'), text.rfind('.') - text.find('.'));
  EXPECT_FALSE(tokens.check("eyJhbGciOiJub25lIn0" + claims + ".", now_));
  EXPECT_FALSE(Tokens({}).check(text, now_)) << "another key";
}

TEST_F(TokensTest, TheKeyStaysAndIsNobodyElses) {
  const std::string text = Tokens(key_).issue(token(), now_);
  EXPECT_TRUE(Tokens(key_).check(text, now_));
  struct stat st;
  ASSERT_EQ(::stat(key_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  write_file(key_, "short");
  EXPECT_THROW(Tokens{key_}, Error);
}

}  // namespace
}  // namespace kiln::registry
