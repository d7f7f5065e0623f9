#include "base/time_zone.h"

#include <gtest/gtest.h>

namespace kiln {
namespace {

// A version 2 file: no transitions but one type, and a footer.
std::string tzif(int32_t offset, std::string_view footer) {
  const auto number = [](uint32_t value) {
    return std::string{static_cast<char>(value >> 24), static_cast<char>(value >> 16),
                       static_cast<char>(value >> 8), static_cast<char>(value)};
  };
  std::string block = "TZif2" + std::string(15, '\0');
  for (const uint32_t count : {0u, 0u, 0u, 0u, 1u, 4u}) block += number(count);
  block += number(static_cast<uint32_t>(offset)) + std::string(2, '\0') + std::string("XXX\0", 4);
  return block + block + "\n" + std::string(footer) + "\n";
}

int64_t at(std::string_view footer, int64_t second) {
  return TimeZone::parse(tzif(0, footer))->offset_at(second);
}

constexpr int64_t kJanuary = 1704067200;  // 2024-01-01T00:00:00Z
constexpr int64_t kJuly = 1719792000;     // 2024-07-01T00:00:00Z

TEST(TimeZone, FollowsTheRuleOfTheFooter) {
  EXPECT_EQ(at("UTC0", kJuly), 0);
  EXPECT_EQ(at("<+0330>-3:30", kJuly), 12600);
  EXPECT_EQ(at("CET-1CEST,M3.5.0,M10.5.0/3", kJanuary), 3600);
  EXPECT_EQ(at("CET-1CEST,M3.5.0,M10.5.0/3", kJuly), 7200);
  EXPECT_EQ(at("CET-1CEST,M3.5.0,M10.5.0/3", 1711846799), 3600);  // 2024-03-31T00:59:59Z
  EXPECT_EQ(at("CET-1CEST,M3.5.0,M10.5.0/3", 1711846800), 7200);
  EXPECT_EQ(at("AEST-10AEDT,M10.1.0,M4.1.0/3", kJanuary), 39600);
  EXPECT_EQ(at("AEST-10AEDT,M10.1.0,M4.1.0/3", kJuly), 36000);
  EXPECT_EQ(at("XXX3YYY2,J60/0,300/0", 1709251200 + 3 * 3600 - 1),
            -10800);  // 1 March 2024, though a leap year
  EXPECT_EQ(at("XXX3YYY2,J60/0,300/0", 1709251200 + 3 * 3600), -7200);
}

TEST(TimeZone, KeepsItsFirstOffsetWithoutARule) {
  EXPECT_EQ(TimeZone::parse(tzif(-3600, ""))->offset_at(kJuly), -3600);
  EXPECT_EQ(TimeZone::parse(tzif(-3600, "garbage,,"))->offset_at(kJuly), -3600);
}

TEST(TimeZone, RefusesWhatIsNoFileOfATimeZone) {
  EXPECT_FALSE(TimeZone::parse(""));
  EXPECT_FALSE(TimeZone::parse("TZif"));
  EXPECT_FALSE(TimeZone::parse(std::string(200, 'x')));
  const std::string whole = tzif(0, "UTC0");
  for (size_t length = 0; length < 90; ++length)
    EXPECT_FALSE(TimeZone::parse(whole.substr(0, length))) << length;
}

TEST(TimeZone, IsFoundByName) {
  const auto berlin = find_time_zone("Europe/Berlin");
  ASSERT_TRUE(berlin);
  EXPECT_EQ(berlin->offset_at(kJanuary), 3600);
  EXPECT_EQ(berlin->offset_at(kJuly), 7200);
  EXPECT_EQ(berlin->offset_at(-3000000000), 3208);  // local mean time, before 1893
  EXPECT_EQ(find_time_zone("Europe/Berlin"), berlin);
  for (const char* name : {"", "Nowhere", "Europe", "/etc/passwd", "../../../etc/passwd", "zone.tab"})
    EXPECT_FALSE(find_time_zone(name)) << name;
}

}  // namespace
}  // namespace kiln
