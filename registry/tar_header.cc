#include "registry/tar_header.h"

#include <cstdio>
#include <cstring>

namespace kiln::registry::detail {
namespace {

constexpr size_t kBlock = 512, kNameLength = 100;
constexpr uint64_t kUstarSizes = 1ull << 33;  // eleven octal digits

std::string block(std::string_view name, uint64_t size, char type) {
  char header[kBlock] = {};
  std::memcpy(header, name.data(), std::min(name.size(), kNameLength));
  const auto octal = [&](size_t offset, int digits, uint64_t value) {
    std::snprintf(header + offset, static_cast<size_t>(digits) + 1, "%0*llo", digits,
                  static_cast<unsigned long long>(value));
  };
  octal(100, 7, 0644);
  octal(108, 7, 0);
  octal(116, 7, 0);
  octal(124, 11, size < kUstarSizes ? size : 0);
  octal(136, 11, 0);
  std::memset(header + 148, ' ', 8);
  header[156] = type;
  std::memcpy(header + 257, "ustar\00000", 8);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  octal(148, 6, sum);
  return {header, sizeof header};
}

// "LENGTH KEY=VALUE\n", where LENGTH counts itself.
std::string record(std::string_view key, std::string_view value) {
  const std::string rest = " " + std::string(key) + "=" + std::string(value) + "\n";
  size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

}  // namespace

std::string tar_header(std::string_view name, uint64_t size) {
  std::string records, out;
  if (name.size() > kNameLength) records += record("path", name);
  if (size >= kUstarSizes) records += record("size", std::to_string(size));
  if (!records.empty()) {
    out = block("pax", records.size(), 'x') + records;
    out.append(tar_padding(records.size()), '\0');
  }
  return out + block(name, size, '0');
}

}  // namespace kiln::registry::detail
