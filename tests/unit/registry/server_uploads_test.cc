// Uploads, as the distribution-spec 1.1 has them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/base/raw_client.h"
#include "tests/unit/registry/server_fixture.h"

namespace kiln::registry {
namespace {

using testing::HasSubstr;

TEST_F(Server, TakesAWholeBlobInOnePost) {
  const HttpResponse response =
      ask("POST", "/v2/a/b/blobs/uploads/?digest=" + sha256("mono").text(), {}, "mono");
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(ask("GET", response.headers.get("Location")).body, "mono");
  EXPECT_EQ(code(ask("POST", "/v2/a/b/blobs/uploads/?digest=" + sha256("other").text(), {}, "mono")),
            "DIGEST_INVALID");
  EXPECT_EQ(ask("POST", "/v2/a/b/blobs/uploads/?digest=sha256:zz", {}, "mono").status, 400);
}

TEST_F(Server, TakesChunksInOrderOnly) {
  const std::string location = start_upload();
  HttpResponse response = ask("PATCH", location, {{"Content-Range", "0-2"}}, "abc");
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(response.headers.get("Range"), "0-2");
  for (const char* bad : {"0-2", "4-6", "3-9", "bytes 3-5", "3-", "x"}) {
    response = ask("PATCH", location, {{"Content-Range", bad}}, "def");
    EXPECT_EQ(response.status, 416) << bad;
    EXPECT_EQ(response.headers.get("Range"), "0-2");
  }
  response = ask("GET", location);
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.headers.get("Range"), "0-2");
  EXPECT_EQ(ask("PATCH", location, {{"Content-Range", "3-5"}}, "def").status, 202);
  const std::string put = location + "?digest=" + sha256("abcdefghi").text();
  EXPECT_EQ(ask("PUT", put, {{"Content-Range", "0-2"}}, "ghi").status, 416);
  EXPECT_EQ(ask("PUT", put, {{"Content-Range", "6-8"}}, "ghi").status, 201);
  EXPECT_EQ(ask("PUT", put).status, 404);
  EXPECT_EQ(ask("GET", "/v2/a/b/blobs/" + sha256("abcdefghi").text()).body, "abcdefghi");
}

TEST_F(Server, TakesAStreamOfUnknownLength) {
  HttpRequest request{.method = "PATCH", .url = registry_.url(start_upload())};
  int pieces = 100;
  request.body.source = [&](char* buffer, size_t) -> size_t {
    if (pieces-- == 0) return 0;
    *buffer = 'z';
    return 1;
  };
  const HttpResponse response = client_.send(request);
  EXPECT_EQ(response.headers.get("Range"), "0-99");
  const std::string location(response.headers.get("Location"));
  EXPECT_EQ(ask("PUT", location + "?digest=" + sha256(std::string(100, 'z')).text()).status, 201);
}

TEST_F(Server, SaysHowFarAnUploadIsWhileItIsWritten) {
  const std::string location = start_upload();
  EXPECT_EQ(ask("PATCH", location, {}, "abcd").status, 202);
  RawClient writer(registry_.server.port());
  writer.send("PATCH " + location +
              " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  writer.read_until("100 Continue\r\n\r\n");  // it is being written to
  EXPECT_EQ(ask("PATCH", location, {}, "x").status, 409);
  const HttpResponse status = ask("GET", location);
  EXPECT_EQ(status.status, 204);
  EXPECT_EQ(status.headers.get("Range"), "0-3");
  writer.send("efgh");
  writer.read_until("202 Accepted");
  EXPECT_EQ(ask("PUT", location + "?digest=" + sha256("abcdefgh").text()).status, 201);
}

TEST_F(Server, RefusesAWrongDigestAndForgetsTheUpload) {
  const std::string location = start_upload();
  EXPECT_EQ(code(ask("PUT", location + "?digest=" + sha256("right").text(), {}, "wrong")), "DIGEST_INVALID");
  EXPECT_EQ(code(ask("GET", location)), "BLOB_UPLOAD_UNKNOWN");
  EXPECT_FALSE(registry_.store.has(sha256("wrong")));
  EXPECT_EQ(ask("PUT", start_upload(), {}, "x").status, 400);
}

TEST_F(Server, KnowsSha512) {
  Hasher hasher("sha512");
  hasher.update("x");
  const Digest digest = hasher.finish();
  EXPECT_EQ(ask("PUT", start_upload("?digest-algorithm=sha512") + "?digest=" + digest.text(), {}, "x").status,
            201);
  EXPECT_EQ(ask("GET", "/v2/a/b/blobs/" + digest.text()).body, "x");
  hasher.update("y");
  const Digest late = hasher.finish();
  EXPECT_EQ(ask("PUT", start_upload() + "?digest=" + late.text(), {}, "y").status, 201);
  EXPECT_EQ(ask("POST", "/v2/a/b/blobs/uploads/?digest-algorithm=md5").status, 400);
}

TEST_F(Server, UploadsCanBeCancelledAndExpire) {
  const std::string location = start_upload();
  EXPECT_EQ(ask("DELETE", location).status, 204);
  EXPECT_EQ(ask("PATCH", location, {}, "x").status, 404);

  ManualClock clock;
  RegistryServer::Options options;
  options.clock = &clock;
  TestRegistry other(std::move(options));
  const auto begun = client_.send({.method = "POST", .url = other.url("/v2/a/blobs/uploads/")});
  const std::string upload = other.url(begun.headers.get("Location"));
  EXPECT_EQ(client_.get(upload).status, 204);
  clock.advance(std::chrono::hours(2));
  EXPECT_EQ(client_.get(upload).status, 404);
  EXPECT_TRUE(fs::is_empty(other.dir.path() / "uploads"));
}

TEST_F(Server, RemovesWhatKilledWritersLeft) {
  ManualClock clock(system_clock().now());
  RegistryServer::Options options;
  options.clock = &clock;
  TestRegistry other(std::move(options));
  const fs::path dead = other.dir.path() / "uploads/dead";
  const auto begin = [&] {
    EXPECT_EQ(client_.send({.method = "POST", .url = other.url("/v2/a/blobs/uploads/")}).status, 202);
  };
  begin();
  write_file(dead, "x");
  fs::last_write_time(dead, fs::file_time_type::clock::now() - std::chrono::hours(5));
  clock.advance(std::chrono::minutes(11));
  begin();
  EXPECT_FALSE(fs::exists(dead));
}

TEST_F(Server, MountsWhatItHas) {
  push_blob("shared");
  EXPECT_EQ(ask("POST", "/v2/other/blobs/uploads/?mount=" + sha256("shared").text() + "&from=a/b").status,
            201);
  EXPECT_EQ(ask("POST", "/v2/other/blobs/uploads/?mount=" + sha256("shared").text()).status, 201);
  const HttpResponse missing =
      ask("POST", "/v2/other/blobs/uploads/?mount=" + sha256("none").text() + "&from=a/b");
  EXPECT_EQ(missing.status, 202);
  EXPECT_THAT(std::string(missing.headers.get("Location")), HasSubstr("/v2/other/blobs/uploads/"));
}

}  // namespace
}  // namespace kiln::registry
