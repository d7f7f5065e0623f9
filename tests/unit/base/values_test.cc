// Errors, diagnostics, text, digests, time and TOML: the small values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/diagnostic.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"
#include "base/toml.h"

namespace kiln {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ErrorTest, SeenFromOneLevelUpKeepsKindHintAndCause) {
  const Error inner(ErrorKind::Unavailable, "no route to host", "check the network");
  const Error outer = inner.because("cannot fetch").because("cannot build");
  EXPECT_EQ(outer.kind(), ErrorKind::Unavailable);
  EXPECT_EQ(outer.full(), "cannot build: cannot fetch: no route to host");
  EXPECT_EQ(outer.hint(), "check the network");
}

TEST(ErrorTest, KindsHaveTheExitCodesOfTheDesign) {
  EXPECT_EQ(exit_code(ErrorKind::Failed), 1);
  EXPECT_EQ(exit_code(ErrorKind::Usage), 2);
  EXPECT_EQ(exit_code(ErrorKind::Invalid), 2);
  EXPECT_EQ(exit_code(ErrorKind::Infrastructure), 3);
  EXPECT_EQ(exit_code(ErrorKind::Unavailable), 3);
  EXPECT_EQ(exit_code(ErrorKind::TimedOut), 4);
  EXPECT_EQ(exit_code(ErrorKind::Cancelled), 130);
}

TEST(DiagnosticTest, ShowsTheLineWithACaretAndTheHint) {
  const Diagnostic d{Severity::Error, "a.yaml", {2, 3}, "unknown field", "did you mean `runAfter`?"};
  EXPECT_EQ(
      render(d, "tasks:\n  runafter: x\n"),
      "a.yaml:2:3: error: unknown field\n  2 |   runafter: x\n    |   ^\n  hint: did you mean `runAfter`?\n");
}

TEST(DiagnosticTest, SurvivesAPlaceBeyondTheText) {
  EXPECT_EQ(render({Severity::Warning, "a", {9, 9}, "m", ""}, "one line"), "a:9:9: warning: m\n");
}

TEST(DiagnosticTest, ShowsOnlyTheNeighbourhoodOfAVeryLongLine) {
  const std::string line(1'000'000, 'x');
  const std::string text = render({Severity::Error, "a", {1, 500'000}, "m", ""}, line);
  EXPECT_LT(text.size(), 1000u);
  EXPECT_THAT(text, HasSubstr("^"));
}

TEST(TextTest, SplitsAndJoins) {
  EXPECT_THAT(split("a,,b", ','), ElementsAre("a", "", "b"));
  EXPECT_THAT(split("", ','), ElementsAre(""));
  EXPECT_EQ(join(split("a,b", ','), " + "), "a + b");
}

TEST(TextTest, Base64RoundTripsAndRefusesWhatItDidNotWrite) {
  for (const char* text : {"", "f", "fo", "foo", "foob", "\xff\xfe"})
    EXPECT_EQ(base64_decode(base64_encode(text)), text);
  EXPECT_EQ(base64_encode("foob"), "Zm9vYg==");
  for (const char* bad : {"Zm9", "Zm9v!mFy", "Z===", "=m9v", "Zm=v"})
    EXPECT_EQ(base64_decode(bad), std::nullopt) << bad;
}

TEST(TextTest, FindsTheWordThatWasMeant) {
  const std::vector<std::string> words{"runAfter", "taskRef", "params"};
  EXPECT_EQ(nearest("runafter", words), "runAfter");
  EXPECT_EQ(nearest("parmas", words), "params");
  EXPECT_EQ(nearest("volumes", words), std::nullopt);
  EXPECT_EQ(nearest("", words), std::nullopt);
}

TEST(TextTest, QuotesForTheShellOnlyWhereNeeded) {
  EXPECT_EQ(shell_quote("a-b/c"), "a-b/c");
  EXPECT_EQ(shell_quote("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_quote(""), "''");
}

TEST(TextTest, FormatsSizesAndDurations) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_seconds(0.0123), "12 ms");
  EXPECT_EQ(format_seconds(1.25), "1.2 s");
  EXPECT_EQ(format_seconds(61), "1m01s");
  EXPECT_EQ(format_seconds(59.96), "1m00s");
}

TEST(DigestTest, KnowsTheStandardsOwnVectors) {
  EXPECT_EQ(sha256("").text(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Hasher hasher;
  hasher.update("a");
  hasher.update("bc");
  const Digest once = hasher.finish();
  EXPECT_EQ(once, sha256("abc"));
  hasher.update("abc");
  EXPECT_EQ(hasher.finish(), once) << "a hasher starts anew after finish";
}

TEST(DigestTest, TakesOnlyWhatIsSafeAsAFileName) {
  EXPECT_TRUE(Digest::parse(sha256("x").text()));
  for (const std::string& bad : {std::string("sha256:"), "sha256:../../etc/passwd" + std::string(48, 'a'),
                                 "SHA256:" + std::string(64, 'a'), "sha256:" + std::string(64, 'A'),
                                 "md5:" + std::string(32, 'a'), "sha256:" + std::string(63, 'a')})
    EXPECT_EQ(Digest::parse(bad), std::nullopt) << bad;
  EXPECT_THROW(Digest::of_text("nope"), Error);
}

TEST(DigestTest, ConstantTimeEqualityIsEquality) {
  EXPECT_TRUE(equal_constant_time("secret", "secret"));
  EXPECT_FALSE(equal_constant_time("secret", "secreT"));
  EXPECT_FALSE(equal_constant_time("secret", "secret2"));
}

TEST(ClockTest, ReadsGoDurations) {
  EXPECT_EQ(parse_duration("1h30m"), Duration(90min));
  EXPECT_EQ(parse_duration("1.5s"), Duration(1500ms));
  EXPECT_EQ(parse_duration("300ms"), Duration(300ms));
  EXPECT_EQ(parse_duration("0"), Duration(0));
  EXPECT_EQ(parse_duration("-1m"), Duration(-1min));
  for (const char* bad : {"", "1", "m", "1x", "1m2", "..s", "9999999999999h"})
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
}

TEST(ClockTest, Rfc3339RoundTripsAndKnowsOffsets) {
  const auto time = parse_rfc3339("2026-11-20T12:34:56Z");
  ASSERT_TRUE(time);
  EXPECT_EQ(format_rfc3339(*time), "2026-11-20T12:34:56Z");
  EXPECT_EQ(parse_rfc3339("2026-11-20T14:34:56+02:00"), time);
  EXPECT_EQ(parse_rfc3339("2026-11-20T12:34:56.250Z"), *time + 250ms);
  EXPECT_EQ(parse_rfc3339("yesterday"), std::nullopt);
}

TEST(TomlTest, BecomesJsonAndComesBack) {
  const auto json = parse_toml("a = 1\n[t]\nb = [\"x\", true]\n[[l]]\nc = 1.5\n", "x.toml");
  EXPECT_EQ(json, nlohmann::json::parse(R"({"a":1,"t":{"b":["x",true]},"l":[{"c":1.5}]})"));
  EXPECT_EQ(parse_toml(to_toml(json), "again"), json);
}

TEST(TomlTest, SaysWhereItIsMalformed) {
  try {
    parse_toml("a = 1\nb = \n", "order.toml");
    FAIL() << "was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Invalid);
    EXPECT_THAT(error.message(), HasSubstr("order.toml:2:"));
  }
}

}  // namespace
}  // namespace kiln
