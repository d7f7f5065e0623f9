#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kiln::registry {

// Writes tar archives entry by entry, honest ones and others: nothing is checked.
class TarBuilder {
 public:
  struct Entry {
    std::string name;
    char type = '0';
    std::string content{};
    std::string link{};
    unsigned mode = 0644;
    unsigned long uid = 0, gid = 0;
    long mtime = 1'000'000'000;
    std::string size_field{};  // overrides the octal size
    unsigned major = 0, minor = 0;
  };

  TarBuilder& add(const Entry& entry) {
    char header[512] = {};
    const auto put = [&](size_t at, size_t length, std::string_view text) {
      std::memcpy(header + at, text.data(), std::min(length, text.size()));
    };
    const auto octal = [&](size_t at, size_t length, unsigned long value) {
      for (size_t i = length - 1; i-- > 0; value >>= 3) header[at + i] = static_cast<char>('0' + (value & 7));
    };
    put(0, 100, entry.name);
    octal(100, 8, entry.mode);
    octal(108, 8, entry.uid);
    octal(116, 8, entry.gid);
    octal(124, 12, entry.content.size());
    if (!entry.size_field.empty()) put(124, 12, entry.size_field);
    octal(136, 12, static_cast<unsigned long>(entry.mtime));
    std::memset(header + 148, ' ', 8);
    header[156] = entry.type;
    put(157, 100, entry.link);
    put(257, 8, std::string_view("ustar\00000", 8));
    octal(329, 8, entry.major);
    octal(337, 8, entry.minor);
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    octal(148, 7, sum);
    bytes_.append(header, sizeof header);
    bytes_ += entry.content;
    bytes_.append((512 - entry.content.size() % 512) % 512, '\0');
    return *this;
  }
  TarBuilder& file(std::string name, std::string content, unsigned mode = 0644) {
    return add({.name = std::move(name), .content = std::move(content), .mode = mode});
  }
  TarBuilder& folder(std::string name, unsigned mode = 0755) {
    return add({.name = std::move(name), .type = '5', .mode = mode});
  }
  TarBuilder& symlink(std::string name, std::string target) {
    return add({.name = std::move(name), .type = '2', .link = std::move(target)});
  }
  TarBuilder& hardlink(std::string name, std::string target) {
    return add({.name = std::move(name), .type = '1', .link = std::move(target)});
  }
  // A PAX extended header for the entry that follows: {"path", "…"}.
  TarBuilder& pax(std::string_view key, std::string_view value) {
    return pax({{std::string(key), std::string(value)}});
  }
  TarBuilder& pax(const std::vector<std::pair<std::string, std::string>>& records) {
    std::string content;
    for (const auto& [key, value] : records) {
      const std::string rest = " " + key + "=" + value + "\n";
      size_t length = rest.size() + 1;
      while (std::to_string(length).size() + rest.size() != length) ++length;
      content += std::to_string(length) + rest;
    }
    return add({.name = "PaxHeader", .type = 'x', .content = content});
  }
  std::string finish() const { return bytes_ + std::string(1024, '\0'); }

 private:
  std::string bytes_;
};

}  // namespace kiln::registry
