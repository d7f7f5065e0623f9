#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Numbers as text, in the forms that CEL's users see elsewhere.
namespace kiln::cel {

// The whole text or nothing. Out of range is nothing, too; a double too small to hold becomes 0.
std::optional<int64_t> parse_int(std::string_view text, int base = 10);
std::optional<uint64_t> parse_uint(std::string_view text, int base = 10);
// Decimal and exponent forms; "inf", "infinity" and "nan" in any case; a sign.
std::optional<double> parse_double(std::string_view text);

// The fewest digits that read back as the same number, with an exponent below 1e-4 and from 1e6: "0.1",
// "1e+06", "-Inf".
std::string shortest(double value);
// The same digits without an exponent: "1000000", "-Infinity".
std::string shortest_fixed(double value);
// "%.<precision>f" and "%.<precision>e".
std::string fixed(double value, int precision);
std::string scientific(double value, int precision);

// `magnitude` in base 2, 8 or 16.
std::string in_base(bool negative, uint64_t magnitude, int base, bool upper_case = false);

}  // namespace kiln::cel
