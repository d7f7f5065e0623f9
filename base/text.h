#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Small text functions that more than one folder needs.
namespace kiln {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);
std::string_view trim(std::string_view text);  // ASCII white space at both ends
std::string to_lower(std::string_view text);   // ASCII
bool iequals(std::string_view a, std::string_view b);
std::string replace_all(std::string text, std::string_view from, std::string_view to);

std::string hex(std::string_view bytes);
std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);  // standard alphabet; nullopt if malformed
std::string random_hex(size_t bytes);                             // from getrandom(2)

// The candidate nearest to `word` by Damerau-Levenshtein distance, if near enough to be a slip of the pen.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

// `word` quoted for a POSIX shell when it needs to be.
std::string shell_quote(std::string_view word);

// 1536 → "1.5 KiB"; 0.0123 s → "12 ms".
std::string format_bytes(unsigned long long bytes);
std::string format_seconds(double seconds);

}  // namespace kiln
