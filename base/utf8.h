#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

// Text is kept as UTF-8; some of its users count code points.
namespace kiln {

// Where the first byte stands that is not UTF-8, if any. Surrogates and overlong forms are not.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// All below are for valid UTF-8.

// Whether this byte is not the first of its code point.
inline bool continues_code_point(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}
// The longest beginning of at most `bytes` bytes that ends with a whole code point.
std::string_view prefix_of_code_points(std::string_view text, size_t bytes);

size_t count_code_points(std::string_view text);
// The byte where code point number `index` starts; text.size() for the one past the last, npos beyond.
size_t byte_of_code_point(std::string_view text, size_t index);
// How many bytes the code point has whose first byte this is.
size_t code_point_bytes(char first);
char32_t decode_code_point(std::string_view text);

// False for surrogates and what is above U+10FFFF; nothing is appended then.
bool append_code_point(std::string& text, char32_t code_point);

}  // namespace kiln
