#include "base/utf8.h"

#include <algorithm>

namespace kiln {
namespace {

bool is_code_point(char32_t c) {
  return c <= 0x10FFFF && !(c >= 0xD800 && c <= 0xDFFF);
}

}  // namespace

size_t code_point_bytes(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

char32_t decode_code_point(std::string_view text) {
  const size_t length = std::min(code_point_bytes(text.front()), text.size());
  if (length == 1) return static_cast<unsigned char>(text.front());
  char32_t out = static_cast<unsigned char>(text.front()) & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) out = out << 6 | (static_cast<unsigned char>(text[i]) & 0x3Fu);
  return out;
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  static constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  for (size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) {
      ++at;
      continue;
    }
    const size_t length = code_point_bytes(text[at]);
    if (byte < 0xC2 || byte > 0xF4 || at + length > text.size()) return at;
    for (size_t i = 1; i < length; ++i)
      if (!continues_code_point(text[at + i])) return at;
    const char32_t code_point = decode_code_point(text.substr(at));
    if (code_point < kSmallest[length] || !is_code_point(code_point)) return at;
    at += length;
  }
  return std::nullopt;
}

std::string_view prefix_of_code_points(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && continues_code_point(text[bytes])) --bytes;
  return text.substr(0, bytes);
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !continues_code_point(c); }));
}

size_t byte_of_code_point(std::string_view text, size_t index) {
  size_t at = 0;
  while (index > 0 && at < text.size()) {
    at += code_point_bytes(text[at]);
    --index;
  }
  return index > 0 ? std::string_view::npos : at;
}

bool append_code_point(std::string& text, char32_t c) {
  if (!is_code_point(c)) return false;
  if (c < 0x80) {
    text += static_cast<char>(c);
  } else if (c < 0x800) {
    text += static_cast<char>(0xC0 | c >> 6);
    text += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    text += static_cast<char>(0xE0 | c >> 12);
    text += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | c >> 18);
    text += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (c & 0x3F));
  }
  return true;
}

}  // namespace kiln
