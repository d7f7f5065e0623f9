#include "base/secret_mask.h"

#include <gtest/gtest.h>
#include <random>

#include "base/text.h"

namespace kiln {
namespace {

std::string in_pieces(const SecretMask& mask, std::string_view text, std::vector<size_t> cuts) {
  std::string out;
  const auto append = [&](std::string_view part) { out += part; };
  SecretStream stream(mask);
  size_t from = 0;
  cuts.push_back(text.size());
  for (const size_t cut : cuts) {
    stream.feed(text.substr(from, cut - from), append);
    from = cut;
  }
  stream.finish(append);
  return out;
}

TEST(SecretMaskTest, HidesAValueWhereverItStands) {
  const SecretMask mask(std::vector<std::string>{"hunter22", "tok-1"});
  EXPECT_EQ(mask.masked("a hunter22 b tok-1\n"), "a *** b ***\n");
  EXPECT_EQ(mask.masked("hunter22tok-1"), "***") << "what touches is one mark";
  EXPECT_EQ(mask.masked("hunter2 tok-"), "hunter2 tok-");
}

TEST(SecretMaskTest, OverlappingValuesAreHiddenTogether) {
  const SecretMask mask(std::vector<std::string>{"abcdef", "efghij", "cdef"});
  EXPECT_EQ(mask.masked("xabcdefghijx"), "x***x");
  EXPECT_EQ(mask.masked("xxcdefxx"), "xx***xx");
  EXPECT_EQ(SecretMask(std::vector<std::string>{"aaaa"}).masked("aaaaaaa-aaa"), "***-aaa");
}

TEST(SecretMaskTest, ValuesTooShortAreLeftAlone) {
  const SecretMask mask(std::vector<std::string>{"yes", "", "no\n"});
  EXPECT_TRUE(mask.empty());
  EXPECT_EQ(mask.masked("yes no"), "yes no");
}

TEST(SecretMaskTest, HidesBase64AtEveryAlignmentInBothAlphabets) {
  const std::string secret = "p\xfbss>>w?rd\xff\xfe!";
  const SecretMask mask(std::vector<std::string>{secret});
  for (const std::string before : {"", "u", "us", "usr", "user:"})
    for (const std::string after : {"", "\n", ":x"}) {
      std::string encoded = base64_encode(before + secret + after);
      for (int alphabet = 0; alphabet < 2; ++alphabet) {
        const std::string shown = mask.masked("Basic " + encoded + " end");
        EXPECT_NE(shown.find("***"), std::string::npos) << encoded;
        EXPECT_LE(shown.size(), 6 + 4 + before.size() * 4 / 3 + after.size() * 4 / 3 + 3 + 5 + 4) << shown;
        encoded = replace_all(replace_all(encoded, "+", "-"), "/", "_");
      }
    }
}

TEST(SecretMaskTest, HidesWhatAValueBecomesInAUrl) {
  const SecretMask mask(std::vector<std::string>{"p@ss w/rd%"});
  EXPECT_EQ(mask.masked("https://me:p%40ss%20w%2Frd%25@host/"), "https://me:***@host/");
  EXPECT_EQ(mask.masked("?k=p%40ss%20w%2frd%25&b"), "?k=***&b") << "small hexadecimal digits";
  EXPECT_EQ(mask.masked("k=p%40ss+w%2Frd%25&b"), "k=***&b") << "a form";
}

TEST(SecretMaskTest, HidesWhatAValueBecomesInAString) {
  const SecretMask mask(std::vector<std::string>{"pa\"ss/wo\\rd'é+secret"});
  for (const char* shown :
       {R"(pa\"ss/wo\\rd'é+secret)", R"(pa\"ss\/wo\\rd'é+secret)", R"(pa\"ss/wo\\rd'\u00e9+secret)",
        R"(pa"ss/wo\\rd\'é+secret)", "pa%22ss/wo%5Crd%27%C3%A9%2Bsecret"})
    EXPECT_EQ(mask.masked(std::string("<") + shown + ">"), "<***>") << shown;
}

TEST(SecretMaskTest, HidesTheLinesOfALongValueAndItsBrokenBase64) {
  std::string key = "-----BEGIN KEY-----\n";
  for (int i = 0; i < 12; ++i)
    key += "line" + std::to_string(1000000 + i * 7919) + "abcdefghijklmnopqrstuvwxyz\n";
  key += "end\n";
  const SecretMask mask(std::vector<std::string>{key});
  EXPECT_EQ(mask.masked("<" + key + ">"), "<***\n>") << "the last line break is nobody's secret";
  EXPECT_EQ(mask.masked("  line1007919abcdefghijklmnopqrstuvwxyz"), "  ***") << "one line of it, indented";
  std::string broken, encoded = base64_encode(key);
  for (size_t at = 0; at < encoded.size(); at += 76) broken += encoded.substr(at, 76) + "\n";
  const std::string shown = mask.masked(broken);
  EXPECT_EQ(shown.find(encoded.substr(76, 20)), std::string::npos);
  EXPECT_LT(shown.size(), 16u * (encoded.size() / 76 + 1)) << shown;
}

TEST(SecretMaskTest, HoldsBackOnlyWhatMayBecomeASecret) {
  const SecretMask mask(std::vector<std::string>{"hunter22"});
  std::string out;
  const auto append = [&](std::string_view part) { out += part; };
  SecretStream stream(mask);
  stream.feed("Password: ", append);
  EXPECT_EQ(out, "Password: ");
  stream.feed("hunt", append);
  EXPECT_EQ(out, "Password: ");
  stream.feed("ing\n", append);
  EXPECT_EQ(out, "Password: hunting\n");
  stream.feed("hunter", append);
  stream.finish(append);
  EXPECT_EQ(out, "Password: hunting\nhunter");
}

TEST(SecretMaskTest, HowTheTextIsCutChangesNothing) {
  const SecretMask mask(std::vector<std::string>{"abab", "babba", "bbbbbbbbbb"});
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i) text += "ab "[random() % 8 == 0 ? 2 : random() % 2];
    const std::string whole = mask.masked(text);
    for (size_t a = 0; a <= text.size(); ++a)
      for (size_t b = a; b <= text.size(); b += 3) ASSERT_EQ(in_pieces(mask, text, {a, b}), whole) << text;
    std::vector<size_t> every;
    for (size_t at = 1; at < text.size(); ++at) every.push_back(at);
    ASSERT_EQ(in_pieces(mask, text, every), whole) << text;
  }
}

}  // namespace
}  // namespace kiln
