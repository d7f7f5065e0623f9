#include "registry/client/registries_conf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/fs.h"
#include "registry/client/blob_locations.h"
#include "registry/client/host_certificates.h"

namespace kiln::registry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RegistriesConfTest : public testing::Test {
 protected:
  // The places of a pull, an insecure one marked.
  std::vector<std::string> places(const std::string& name) const {
    std::vector<std::string> out;
    for (const RegistryPlace& place : conf.to_pull(conf.full_name(Reference::parse(name))))
      out.push_back(place.reference.text() + (place.insecure ? " insecure" : ""));
    return out;
  }
  std::string problem(const std::string& toml) {
    try {
      RegistriesConf().add(toml, "/etc/x.conf");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Invalid);
      return error.message();
    }
    return "it was taken";
  }
  static std::string digest() { return "@sha256:" + std::string(64, 'a'); }

  RegistriesConf conf;
};

TEST_F(RegistriesConfTest, WithoutFilesNamesMeanWhatTheySay) {
  EXPECT_THAT(places("r.example/a:v1"), ElementsAre("r.example/a:v1"));
  EXPECT_THAT(places("alpine"), ElementsAre("docker.io/library/alpine:latest"));
}

TEST_F(RegistriesConfTest, MirrorsAreAskedFirst) {
  conf.add(R"(
[[registry]]
location = "r.example"
[[registry.mirror]]
location = "mirror.example/r"
[[registry.mirror]]
location = "localhost:5000"
insecure = true
)",
           "f");
  EXPECT_THAT(places("r.example/a/b:v1"),
              ElementsAre("mirror.example/r/a/b:v1", "localhost:5000/a/b:v1 insecure", "r.example/a/b:v1"));
  EXPECT_EQ(conf.to_push(Reference::parse("r.example/a:v1")).reference.text(), "r.example/a:v1")
      << "mirrors are for pulls";
  EXPECT_THAT(places("r.example:5000/a:v1"), ElementsAre("r.example:5000/a:v1")) << "another port";
  EXPECT_THAT(places("r.example.org/a:v1"), ElementsAre("r.example.org/a:v1"));
}

TEST_F(RegistriesConfTest, AMirrorMayBeForDigestsOrTagsOnly) {
  conf.add(R"(
[[registry]]
location = "one.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "m.example"
[[registry]]
location = "two.example"
[[registry.mirror]]
location = "d.example"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "t.example"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "a.example"
pull-from-mirror = "all"
)",
           "f");
  EXPECT_THAT(places("one.example/x:v1"), ElementsAre("one.example/x:v1"));
  EXPECT_THAT(places("one.example/x" + digest()),
              ElementsAre("m.example/x" + digest(), "one.example/x" + digest()));
  EXPECT_THAT(places("two.example/x:v1"),
              ElementsAre("t.example/x:v1", "a.example/x:v1", "two.example/x:v1"));
  EXPECT_THAT(places("two.example/x" + digest()),
              ElementsAre("d.example/x" + digest(), "a.example/x" + digest(), "two.example/x" + digest()));
}

TEST_F(RegistriesConfTest, TheLongestPrefixWins) {
  conf.add(R"(
[[registry]]
prefix = "r.example"
location = "all.example"
[[registry]]
prefix = "r.example/team"
location = "team.example/of/r"
[[registry]]
prefix = "r.example/team/app:v9"
location = "nine.example/app"
[[registry]]
prefix = "*.wild.example"
location = "tame.example"
[[registry]]
prefix = "*.plain.example"
insecure = true
)",
           "f");
  EXPECT_THAT(places("r.example/x:v1"), ElementsAre("all.example/x:v1"));
  EXPECT_THAT(places("r.example/team/app:v1"), ElementsAre("team.example/of/r/app:v1"));
  EXPECT_THAT(places("r.example/team/app:v9"), ElementsAre("nine.example/app"
                                                           ":latest"));
  EXPECT_THAT(places("r.example/teams/app:v1"), ElementsAre("all.example/teams/app:v1"));
  EXPECT_THAT(places("a.b.wild.example/x:v1"), ElementsAre("tame.example/x:v1"));
  EXPECT_THAT(places("wild.example/x:v1"), ElementsAre("wild.example/x:v1"));
  EXPECT_THAT(places("nowild.example/x:v1"), ElementsAre("nowild.example/x:v1"));
  EXPECT_THAT(places("a.plain.example/x:v1"), ElementsAre("a.plain.example/x:v1 insecure"));
}

TEST_F(RegistriesConfTest, ABlockedRegistryIsNotAsked) {
  conf.add("[[registry]]\nlocation = \"r.example/bad\"\nblocked = true\n", "/etc/b.conf");
  try {
    places("r.example/bad/x:v1");
    ADD_FAILURE() << "it was asked";
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 3);
    EXPECT_THAT(error.message(), HasSubstr("blocked"));
    EXPECT_THAT(error.message(), HasSubstr("/etc/b.conf"));
  }
  EXPECT_THAT(places("r.example/good:v1"), ElementsAre("r.example/good:v1"));
}

TEST_F(RegistriesConfTest, ShortNamesHaveAliases) {
  conf.add("[aliases]\n\"fedora\" = \"r.example/fedora\"\n\"team/app\" = \"s.example/a\"\n", "f");
  EXPECT_THAT(places("fedora:40"), ElementsAre("r.example/fedora:40"));
  EXPECT_THAT(places("team/app"), ElementsAre("s.example/a:latest"));
  EXPECT_THAT(places("docker.io/fedora:40"), ElementsAre("docker.io/library/fedora:40")) << "not short";
  EXPECT_EQ(conf.full_name(Reference::parse("fedora:40")).familiar, "fedora:40");
  conf.add("[aliases]\n\"fedora\" = \"\"\n", "g");
  EXPECT_THAT(places("fedora:40"), ElementsAre("docker.io/library/fedora:40")) << "taken back";
}

TEST_F(RegistriesConfTest, OneRegistryToSearchIsAskedAndSeveralAreNot) {
  conf.add("unqualified-search-registries = [\"r.example\"]\n", "f");
  EXPECT_THAT(places("alpine"), ElementsAre("r.example/alpine:latest"));
  conf.add("unqualified-search-registries = [\"r.example\", \"docker.io\"]\n", "g");
  EXPECT_THAT(places("alpine"), ElementsAre("docker.io/library/alpine:latest"));
}

TEST_F(RegistriesConfTest, ErrorsNameTheFileAndTheKey) {
  for (const auto& [toml, key] : std::initializer_list<std::pair<const char*, const char*>>{
           {"[[registry]]\nlocation = 5\n", "[[registry]] location"},
           {"[[registry]]\nlocation = \"https://r.example\"\n", "[[registry]] location"},
           {"[[registry]]\nlocation = \"r.example\"\nblocked = \"yes\"\n", "[[registry]] blocked"},
           {"[[registry]]\ninsecure = true\n", "[[registry]]"},
           {"[[registry]]\nlocation = \"*.r.example\"\n", "[[registry]] location"},
           {"[[registry]]\nlocation = \"r.example\"\n[[registry.mirror]]\n", "[[registry.mirror]] location"},
           {"[[registry]]\nlocation=\"r.example\"\n[[registry.mirror]]\nlocation=\"m.example\"\n"
            "pull-from-mirror=\"never\"\n",
            "pull-from-mirror"},
           {"unqualified-search-registries = \"r.example\"\n", "unqualified-search-registries"},
           {"[aliases]\nx = 1\n", "aliases.x"},
           {"[aliases]\nx = \"UPPER\"\n", "aliases.x"},
           {"[registries.search]\nregistries = []\n", "version 1"},
           {"[[registry]\n", "/etc/x.conf:1"}}) {
    EXPECT_THAT(problem(toml), HasSubstr("/etc/x.conf"));
    EXPECT_THAT(problem(toml), HasSubstr(key)) << toml;
  }
}

TEST_F(RegistriesConfTest, FilesAreFoundWherePodmanLooks) {
  const TempDir dir;
  const fs::path system = dir.path() / "etc", user = dir.path() / "home/.config/containers";
  const auto aliases = [](const char* target) {
    return "[aliases]\nx = \"" + std::string(target) + "/x\"\n";
  };
  const auto place = [&](Environment environment) {
    conf = RegistriesConf::load(environment, system);
    return places("x:v1").at(0);
  };
  const Environment home{{"HOME", (dir.path() / "home").string()}};
  EXPECT_EQ(place(home), "docker.io/library/x:v1");
  make_dirs(system / "registries.conf.d");
  make_dirs(user / "registries.conf.d");
  write_file(system / "registries.conf", aliases("system.example"));
  EXPECT_EQ(place(home), "system.example/x:v1");
  EXPECT_EQ(place({}), "system.example/x:v1");
  write_file(user / "registries.conf", aliases("user.example"));
  EXPECT_EQ(place(home), "user.example/x:v1");
  write_file(dir.path() / "named", aliases("named.example"));
  Environment named = home;
  named["CONTAINERS_REGISTRIES_CONF"] = (dir.path() / "named").string();
  EXPECT_EQ(place(named), "named.example/x:v1");
  write_file(system / "registries.conf.d/2.conf", aliases("two.example"));
  write_file(system / "registries.conf.d/1.conf", aliases("one.example"));
  write_file(system / "registries.conf.d/9.txt", aliases("no.example"));
  EXPECT_EQ(place(home), "two.example/x:v1");
  write_file(user / "registries.conf.d/0.conf", aliases("mine.example"));
  EXPECT_EQ(place(home), "mine.example/x:v1");
}

TEST(HostCertificatesTest, TheFirstFolderOfAHostCounts) {
  const TempDir dir;
  const fs::path system = dir.path() / "etc", user = dir.path() / "config/containers/certs.d";
  const Environment environment{{"XDG_CONFIG_HOME", (dir.path() / "config").string()}};
  const auto of = [&](const char* host) { return HostCertificates(environment, system).of(host); };
  make_dirs(system / "docker/certs.d/r.example:5000");
  write_file(system / "docker/certs.d/r.example:5000/b.crt", "B");
  write_file(system / "docker/certs.d/r.example:5000/a.crt", "A");
  EXPECT_EQ(of("r.example:5000").authorities, "A\nB\n");
  EXPECT_EQ(of("r.example").authorities, "");
  make_dirs(user / "r.example:5000");
  write_file(user / "r.example:5000/client.cert", "");
  EXPECT_THROW(of("r.example:5000"), Error) << "no key";
  write_file(user / "r.example:5000/client.key", "");
  const TlsOptions mine = of("r.example:5000");
  EXPECT_EQ(mine.authorities, "");
  EXPECT_EQ(mine.client_certificate, (user / "r.example:5000/client.cert").string());
  EXPECT_EQ(mine.client_key, (user / "r.example:5000/client.key").string());
  EXPECT_TRUE(mine.verify_peer);
}

TEST(BlobLocationsTest, AreSharedThroughTheirFileAndBounded) {
  const TempDir dir;
  const fs::path file = dir.path() / "cache/locations.json";
  const Digest blob = sha256("a");
  BlobLocations first(file), second(file);
  first.saw("h:1", "one", blob);
  second.saw("h:1", "two", blob);
  EXPECT_THAT(first.repositories("h:1", blob), ElementsAre("one"));
  first.save();
  second.save();
  EXPECT_THAT(BlobLocations(file).repositories("h:1", blob), ElementsAre("two", "one"));
  EXPECT_TRUE(BlobLocations(file).repositories("h:2", blob).empty());
  {
    BlobLocations many(file);
    for (const char* repository : {"3", "4", "5"}) many.saw("h:1", repository, blob);
    for (size_t i = 0; i < BlobLocations::kMost + 100; ++i) many.saw("h:1", "x", sha256(std::to_string(i)));
  }
  EXPECT_LT(fs::file_size(file), 1u << 20);
  write_file(file, "[broken");
  EXPECT_TRUE(BlobLocations(file).repositories("h:1", blob).empty());
}

}  // namespace
}  // namespace kiln::registry
