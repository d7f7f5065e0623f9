#include "registry/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "registry/copy/image_place.h"

namespace kiln::registry {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(Reference, FillsInWhatIsLeftOut) {
  const struct {
    const char *written, *host, *repository, *tag, *familiar;
  } cases[] = {
      {"alpine", "docker.io", "library/alpine", "latest", "alpine:latest"},
      {"bitnami/redis:7", "docker.io", "bitnami/redis", "7", "bitnami/redis:7"},
      {"docker.io/alpine", "docker.io", "library/alpine", "latest", "docker.io/alpine:latest"},
      {"index.docker.io/a/b", "docker.io", "a/b", "latest", "index.docker.io/a/b:latest"},
      {"localhost:8080/hello", "localhost:8080", "hello", "latest", "localhost:8080/hello:latest"},
      {"localhost/hello:v1", "localhost", "hello", "v1", "localhost/hello:v1"},
      {"ghcr.io/a/b/c:1.2-x_y", "ghcr.io", "a/b/c", "1.2-x_y", "ghcr.io/a/b/c:1.2-x_y"},
      {"[::1]:5000/x", "[::1]:5000", "x", "latest", "[::1]:5000/x:latest"},
      {"docker://127.0.0.1:5000/x", "127.0.0.1:5000", "x", "latest", "127.0.0.1:5000/x:latest"},
      {"kiln/build", "", "kiln/build", "latest", "kiln/build:latest"},
  };
  for (const auto& c : cases) {
    const Reference reference = Reference::parse(c.written);
    EXPECT_EQ(reference.host, c.host) << c.written;
    EXPECT_EQ(reference.repository, c.repository) << c.written;
    EXPECT_EQ(reference.tag, c.tag) << c.written;
    EXPECT_EQ(reference.familiar, c.familiar) << c.written;
    EXPECT_EQ(Reference::parse(reference.text()).text(), reference.text()) << c.written;
  }
}

TEST(Reference, ADigestWinsOverTheTag) {
  const Reference both = Reference::parse("ghcr.io/a:v1@" + kDigest);
  EXPECT_EQ(both.tag, "v1");
  EXPECT_EQ(both.tag_or_digest(), kDigest);
  const Reference alone = Reference::parse("ghcr.io/a@" + kDigest);
  EXPECT_EQ(alone.tag, "");
  EXPECT_EQ(alone.text(), "ghcr.io/a@" + kDigest);
}

TEST(Reference, RefusesWhatIsNone) {
  const std::vector<std::string> bad_ones = {"",
                                             "Alpine",
                                             "a b",
                                             "a//b",
                                             "/a",
                                             "a/",
                                             "a:",
                                             "a:b:c",
                                             "a@sha256:12",
                                             "a@" + kDigest + "x",
                                             "../etc",
                                             "a/../b",
                                             "a:../x",
                                             "-a/b",
                                             "x.io:port/a",
                                             "x.io:123456/a",
                                             "a_-b",
                                             "a___b",
                                             "[::1/a",
                                             "x.io/A"};
  for (const std::string& bad : bad_ones) EXPECT_THROW(Reference::parse(bad), Error) << bad;
  try {
    Reference::parse("localhost:8080/Hello");
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), testing::HasSubstr("lower-case"));
  }
}

TEST(ImagePlaces, AreReadAsWritten) {
  using K = ImagePlace::Kind;
  const auto parsed = [](const char* text) { return ImagePlace::parse(text); };
  EXPECT_EQ(parsed("alpine").kind, K::Store);
  EXPECT_EQ(parsed("alpine").name, "alpine:latest");
  EXPECT_EQ(parsed("docker://localhost:5000/a").kind, K::Registry);
  EXPECT_EQ(parsed("docker://localhost:5000/a").name, "localhost:5000/a:latest");
  EXPECT_EQ(parsed("oci:/tmp/x:localhost:8080/hello:latest").path, "/tmp/x");
  EXPECT_EQ(parsed("oci:/tmp/x:localhost:8080/hello:latest").name, "localhost:8080/hello:latest");
  EXPECT_EQ(parsed("dir:a:b").path, "a:b");
  for (const char* text :
       {"docker://h:1/a:v1", "oci:x:y", "oci-archive:x.tar", "docker-archive:x:a:v1", "dir:x"})
    EXPECT_EQ(parsed(text).text(), text);
  for (const char* bad : {"", "oci:", "oci-archive:", "docker-archive::x", "dir:", "docker://", "UPPER"})
    EXPECT_THROW(parsed(bad), Error) << bad;
}

}  // namespace
}  // namespace kiln::registry
