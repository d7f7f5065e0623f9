#include "executor/credentials.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "tests/unit/executor/values.h"

namespace kiln::executor {
namespace {

using ::testing::ElementsAre;
using testing::facts_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::secret;
using testing::why;

class Credentials : public ::testing::Test {
 protected:
  void add(const std::string& name, const std::string& type, std::map<std::string, std::string> values,
           dag::Labels annotations = {}) {
    dag::KeyValues& object = secret(objects_, name, std::move(values));
    object.type = "kubernetes.io/" + type;
    object.metadata.annotations = std::move(annotations);
    account_.secrets.push_back({name, {}});
  }
  std::map<std::string, std::string> files() {
    std::map<std::string, std::string> out;
    for (const VolumeFile& file : credential_files(account_, facts_of(objects_), notes_)) {
      EXPECT_EQ(file.mode, 0600u);
      out[file.path.string()] = file.content;
    }
    return out;
  }
  dag::ClusterObjects objects_;
  dag::ServiceAccount account_;
  std::vector<std::string> notes_;
};

TEST_F(Credentials, OfABasicSecretAreForGit) {
  add("s", "basic-auth", {{"username", "bob \"b\"\n"}, {"password", "p@:/\n"}},
      {{"tekton.dev/git-0", "https://forge.example"}, {"tekton.dev/git-1", "other.example"}, {"note", "x"}});
  const auto made = files();
  EXPECT_EQ(made.size(), 2u);
  EXPECT_EQ(made.at(".gitconfig"),
            "[credential]\n\thelper = store\n"
            "[credential \"https://forge.example\"]\n\tusername = \"bob \\\"b\\\"\"\n"
            "[credential \"https://other.example\"]\n\tusername = \"bob \\\"b\\\"\"\n");
  EXPECT_EQ(
      made.at(".git-credentials"),
      "https://bob%20%22b%22:p%40%3A%2F@forge.example\nhttps://bob%20%22b%22:p%40%3A%2F@other.example\n");
}

TEST_F(Credentials, OfSeveralRepositoriesOfAHostAreToldApart) {
  const auto add_for = [&](const std::string& name, const std::string& url) {
    add(name, "basic-auth", {{"username", "u"}, {"password", name}}, {{"tekton.dev/git-0", url}});
  };
  add_for("one", "https://forge.example/grp/one");
  add_for("two", "https://forge.example/grp/two");
  add_for("host", "https://forge.example");
  add_for("slash", "https://other.example/");
  const auto made = files();
  EXPECT_EQ(made.at(".git-credentials"),
            "https://u:host@forge.example\nhttps://u:slash@other.example/\n"
            "https://u:one@forge.example/grp/one\nhttps://u:two@forge.example/grp/two\n")
      << "one of a whole host first: git takes the first that fits";
  EXPECT_EQ(made.at(".gitconfig"),
            "[credential]\n\thelper = store\n"
            "[credential \"https://forge.example/grp/one\"]\n\tusername = \"u\"\n\tuseHttpPath = true\n"
            "[credential \"https://forge.example/grp/two\"]\n\tusername = \"u\"\n\tuseHttpPath = true\n"
            "[credential \"https://forge.example\"]\n\tusername = \"u\"\n"
            "[credential \"https://other.example/\"]\n\tusername = \"u\"\n");
}

TEST_F(Credentials, OfAKeyAreForSsh) {
  add("a", "ssh-auth", {{"ssh-privatekey", "KEY-A"}}, {{"tekton.dev/git-0", "one.example:2222"}});
  add("b", "ssh-auth", {{"ssh-privatekey", "KEY-B\n"}, {"known_hosts", "two.example ssh-rsa X"}},
      {{"tekton.dev/git-0", "two.example"}});
  const auto made = files();
  EXPECT_EQ(made.at(".ssh/id_a"), "KEY-A\n");
  EXPECT_EQ(made.at(".ssh/id_b"), "KEY-B\n");
  EXPECT_EQ(made.at(".ssh/known_hosts"), "two.example ssh-rsa X\n");
  EXPECT_EQ(
      made.at(".ssh/config"),
      "Host one.example\n    HostName one.example\n    Port 2222\n    IdentityFile /tekton/creds/.ssh/id_a\n"
      "    StrictHostKeyChecking accept-new\n"
      "Host two.example\n    HostName two.example\n    IdentityFile /tekton/creds/.ssh/id_b\n");
}

TEST_F(Credentials, ForRegistriesAreOneFile) {
  add("j", "dockerconfigjson", {{".dockerconfigjson", R"({"auths": {"one": {"auth": "MQ=="}}})"}});
  add("c", "dockercfg", {{".dockercfg", R"({"two": {"auth": "Mg=="}, "one": {"auth": "later"}})"}});
  add("b", "basic-auth", {{"username", "u"}, {"password", "p"}}, {{"tekton.dev/docker-0", "three"}});
  const auto made = files();
  EXPECT_EQ(made.size(), 1u);
  const auto auths = nlohmann::json::parse(made.at(".docker/config.json")).at("auths");
  EXPECT_EQ(auths.at("one").at("auth"), "MQ==");
  EXPECT_EQ(auths.at("two").at("auth"), "Mg==");
  EXPECT_EQ(auths.at("three").at("auth"), base64_encode("u:p"));
}

TEST_F(Credentials, AreNoneWithoutAnAnnotation) {
  add("s", "basic-auth", {{"username", "u"}, {"password", "p"}});
  add("k", "ssh-auth", {{"ssh-privatekey", "K"}}, {{"tekton.dev/docker-0", "x"}});
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(Credentials, SayWhichSecretIsNotLoaded) {
  account_.secrets.push_back({"gone", {}});
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("Secret \"gone\"")));
}

TEST_F(Credentials, NeverShowAValueInAMessage) {
  add("s", "basic-auth", {{"username", "u"}, {"password", "hid\nden"}}, {{"tekton.dev/git-0", "x.example"}});
  const std::string said = why([&] { files(); });
  EXPECT_THAT(said, HasSubstr("has a line break in \"password\""));
  EXPECT_THAT(said, Not(HasSubstr("hid")));
}

TEST_F(Credentials, RefuseASecretWithoutItsKey) {
  add("s", "basic-auth", {{"username", "u"}}, {{"tekton.dev/git-0", "x.example"}});
  EXPECT_THAT(why([&] { files(); }),
              HasSubstr("Secret \"s\" of type kubernetes.io/basic-auth has no key \"password\""));
}

TEST_F(Credentials, RefuseAnAddressThatWouldBeALineOfItsOwn) {
  add("s", "ssh-auth", {{"ssh-privatekey", "K"}}, {{"tekton.dev/git-0", "x\n    ProxyCommand evil"}});
  EXPECT_THAT(why([&] { files(); }), HasSubstr("no address"));
}

TEST_F(Credentials, RefuseWhatIsNoJson) {
  add("j", "dockerconfigjson", {{".dockerconfigjson", "{hidden"}});
  const std::string said = why([&] { files(); });
  EXPECT_THAT(said, HasSubstr("no JSON object"));
  EXPECT_THAT(said, Not(HasSubstr("hidden")));
}

}  // namespace
}  // namespace kiln::executor
