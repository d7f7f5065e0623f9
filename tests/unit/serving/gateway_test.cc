// One request and its answer on their way through the gateway.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

#include "tests/unit/serving/world.h"

namespace kiln::serving {
namespace {

using testing::HasSubstr;
using testing::Not;

// One service for all of these; each test leaves it as it was.
class Gateway : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!steps::sandbox_problem().empty()) return;
    world_ = new World;
    world_->deploy(
        World::document("hello", {{"spec", {{"template", {{"spec", {{"timeoutSeconds", 600}}}}}}}}));
    // "slow" has the shortest limit there is.
    world_->deploy(World::document("slow", {{"spec", {{"template", {{"spec", {{"timeoutSeconds", 1}}}}}}}}));
  }
  static void TearDownTestSuite() {
    delete world_;
    world_ = nullptr;
  }
  void SetUp() override { KILN_NEEDS_SANDBOX(); }
  World& w() { return *world_; }
  static World* world_;
};
World* Gateway::world_ = nullptr;

TEST_F(Gateway, FieldsOfOneConnectionStayThere) {
  Caller caller = w().caller();
  caller.request(
      "GET /head HTTP/1.1",
      "X-Mine: 1\r\nConnection: X-Drop, keep-alive\r\nX-Drop: 2\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
      "Proxy-Authorization: secret\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n"
      "Forwarded: for=10.0.0.1\r\nX-Forwarded-Proto: gopher\r\nCookie: a=1\r\n");
  const Caller::Answer answer = caller.answer();
  EXPECT_EQ(answer.status, 200);
  for (const char* kept : {"GET /head HTTP/1.1\r\n", "Host: hello.default.localhost\r\n", "X-Mine: 1\r\n",
                           "Cookie: a=1\r\n", "X-Forwarded-For: 10.0.0.1, 10.0.0.2, 127.0.0.1\r\n",
                           "X-Forwarded-Proto: http\r\n", "X-Forwarded-Host: hello.default.localhost\r\n",
                           "Forwarded: for=10.0.0.1, for=127.0.0.1;proto=http\r\n"})
    EXPECT_THAT(answer.body, HasSubstr(kept));
  for (const char* dropped : {"X-Drop", "Keep-Alive", "TE:", "secret", "gopher", "Connection"})
    EXPECT_THAT(answer.body, Not(HasSubstr(dropped)));
  EXPECT_EQ(answer.field("X-Kept"), "yes");
  EXPECT_EQ(answer.field("X-Hop"), "") << "the instance's Connection field named it";
}

TEST_F(Gateway, AnAbsoluteTargetBecomesAPath) {
  Caller caller = w().caller();
  caller.request("GET http://hello.default.localhost/head HTTP/1.1");
  EXPECT_THAT(caller.answer().body, HasSubstr("GET /head HTTP/1.1\r\n"));
  Caller tunnel = w().caller();
  tunnel.request("CONNECT hello.default.localhost:443 HTTP/1.1");
  EXPECT_EQ(tunnel.answer().status / 100, 4);
}

TEST_F(Gateway, AnswersWithoutABodyKeepTheirFieldsAndTheConnection) {
  Caller caller = w().caller();
  caller.request("HEAD /sized HTTP/1.1");
  EXPECT_EQ(caller.answer(true).field("Content-Length"), "1234");
  caller.request("HEAD /chunked HTTP/1.1");
  EXPECT_EQ(caller.answer(true).field("Content-Length"), "") << "its length is not known, so it is not zero";
  caller.request("GET /204 HTTP/1.1");
  const Caller::Answer none = caller.answer();
  EXPECT_EQ(none.status, 204);
  EXPECT_EQ(none.field("X-Kept"), "yes");
  caller.request("GET /304 HTTP/1.1");
  const Caller::Answer same = caller.answer();
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.field("ETag"), "\"x\"");
  EXPECT_EQ(same.field("Content-Length"), "");
  caller.request("GET / HTTP/1.1");
  EXPECT_EQ(caller.answer().body, "hello-00001\n") << "the same connection goes on";
}

TEST_F(Gateway, AnswersOfEveryFraming) {
  EXPECT_EQ(w().get("/chunked").body, "one two");
  EXPECT_EQ(w().get("/until-close").body, "until the end");
  EXPECT_EQ(w().get("/long").body, "five!") << "no byte beyond the stated length";
  EXPECT_EQ(w().get("/").status, 200) << "what came too much is not the next answer";
}

TEST_F(Gateway, InterimAnswersEndHere) {
  const Caller::Answer answer = w().get("/interim");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "after\n");
  EXPECT_EQ(answer.field("Link"), "");
}

TEST_F(Gateway, ExpectContinueIsAnswered) {
  Caller caller = w().caller();
  caller.request("POST /count HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n");
  EXPECT_THAT(caller.head(), HasSubstr("100 Continue"));
  caller.send("12345");
  EXPECT_EQ(caller.answer().body, "5");
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMemoryIsOurs = false;  // the sanitizer keeps what was freed
#else
constexpr bool kMemoryIsOurs = true;
#endif

// Bytes this process has had in memory at most since reset().
struct PeakMemory {
  static void reset() { write_file("/proc/self/clear_refs", "5"); }
  static size_t read() {
    const std::string status = read_file("/proc/self/status");
    return std::stoul(status.substr(status.find("VmHWM:") + 6)) << 10;
  }
};

TEST_F(Gateway, BigBodiesGoBothWaysInLittleMemory) {
  constexpr size_t kSize = 64u << 20;
  PeakMemory::reset();
  const size_t before = PeakMemory::read();
  Caller down = w().caller();
  down.request("GET /big/" + std::to_string(kSize) + " HTTP/1.1");
  EXPECT_THAT(down.head(), HasSubstr("Content-Length: " + std::to_string(kSize)));
  for (size_t left = kSize; left > 0;) {
    const size_t got = down.read(std::min<size_t>(left, 1u << 20)).size();
    ASSERT_GT(got, 0u);
    left -= got;
  }
  Caller up = w().caller();
  up.request("POST /count HTTP/1.1", "Content-Length: " + std::to_string(kSize) + "\r\n");
  const std::string megabyte(1u << 20, 'u');
  for (size_t sent = 0; sent < kSize; sent += megabyte.size()) up.send(megabyte);
  EXPECT_EQ(up.answer().body, std::to_string(kSize));
  if (kMemoryIsOurs) {
    EXPECT_LT(PeakMemory::read() - before, kSize / 4);
  }
}

TEST_F(Gateway, AnAnswerMayFlowWhileTheRequestStillDoes) {
  constexpr int kPieces = 256;
  const std::string piece(64u << 10, 'e');
  Caller caller = w().caller();
  caller.request("POST /echo HTTP/1.1", "Transfer-Encoding: chunked\r\n");
  caller.chunk("first");
  EXPECT_THAT(caller.head(), HasSubstr("200 OK"));
  EXPECT_EQ(caller.next_chunk(), "first") << "before the request has ended";
  // Far more than all buffers on the way hold: it only passes when both directions move.
  std::jthread sender([&] {
    for (int i = 0; i < kPieces; ++i) caller.chunk(piece);
    caller.chunk("");
  });
  size_t total = 0;
  for (std::string part = caller.next_chunk(); !part.empty(); part = caller.next_chunk())
    total += part.size();
  EXPECT_EQ(total, kPieces * piece.size());
}

TEST_F(Gateway, AnAnswerBeforeTheBodyIsReadGetsThrough) {
  Caller caller = w().caller();
  caller.request("POST /early HTTP/1.1", "Content-Length: 100000000\r\n");
  caller.send(std::string(1000, 'x'));
  EXPECT_EQ(caller.answer().status, 413);
}

TEST_F(Gateway, ABodyThatBreaksOffReachesTheInstanceAsBroken) {
  Caller caller = w().caller();
  caller.request("POST /count HTTP/1.1", "Transfer-Encoding: chunked\r\n");
  caller.chunk("half");
  caller.finish();
  EXPECT_THAT(caller.rest(), Not(HasSubstr("200 OK")));
  EXPECT_EQ(w().get("/").status, 200);
}

TEST_F(Gateway, ADroppedRequestWithoutBodyIsSentAgain) {
  const Caller::Answer answer = w().get("/drop-first");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "second\n");
}

TEST_F(Gateway, ADroppedRequestWhoseBodyIsGoneIs502) {
  Caller caller = w().caller();
  caller.request("PUT /drop-body HTTP/1.1", "Content-Length: 3\r\n");
  caller.send("abc");
  EXPECT_EQ(caller.answer().status, 502);
}

TEST_F(Gateway, WhatIsNoHttpIs502) {
  EXPECT_EQ(w().get("/garbage").status, 502);
  EXPECT_EQ(w().get("/unasked").status, 502);
}

TEST_F(Gateway, ABrokenAnswerIsBrokenForTheClientToo) {
  const Caller::Answer answer = w().get("/short");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "only this");
  EXPECT_TRUE(answer.cut);
}

TEST_F(Gateway, NoAnswerInTimeIs504) {
  EXPECT_EQ(w().get("/never", "slow").status, 504);
  Caller uploading = w().caller("slow");
  uploading.request("POST /never HTTP/1.1", "Transfer-Encoding: chunked\r\n");
  EXPECT_EQ(uploading.answer().status, 504) << "while the body is still on its way";
}

TEST_F(Gateway, UpgradesBecomeTunnels) {
  Caller caller = w().caller();
  caller.request("GET /upgrade HTTP/1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: echo\r\n");
  caller.send("early");
  const std::string head = caller.head();
  EXPECT_THAT(head, HasSubstr("101 Switching Protocols"));
  EXPECT_THAT(head, HasSubstr("Upgrade: echo"));
  EXPECT_EQ(caller.read(11), "hello early");
  caller.send("ping");
  EXPECT_EQ(caller.read(4), "ping");
  const std::string big(1u << 20, 't');
  std::jthread sender([&] { caller.send(big); });
  EXPECT_EQ(caller.read(big.size()), big);
  sender.join();
  caller.finish();
  EXPECT_EQ(caller.rest(), "") << "the instance ended, too";
}

TEST_F(Gateway, AnUpgradeToHttp2StaysHttp1) {
  Caller caller = w().caller();
  caller.request("GET /head HTTP/1.1",
                 "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n");
  const Caller::Answer answer = caller.answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, Not(HasSubstr("h2c")));
  EXPECT_THAT(answer.body, Not(HasSubstr("HTTP2-Settings")));
}

}  // namespace
}  // namespace kiln::serving
