#include "registry/layers/header_check.h"

#include <charconv>
#include <optional>

#include "base/error.h"

namespace kiln::registry::detail {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kSizeAt = 124, kSizeLength = 12, kTypeAt = 156;
constexpr uint64_t kLargestHeader = 1u << 20;
constexpr int kMostHeaders = 16;  // before one entry; writers make three at most

[[noreturn]] void refuse(std::string_view path, std::string_view why) {
  throw Error(ErrorKind::Invalid,
              "the layer's entry \"" + std::string(path.substr(0, 200)) + "\" " + std::string(why),
              "the image is hostile or broken; it was not unpacked");
}

// Octal, or GNU's binary form where the first byte has its highest bit set. nullopt: negative or no number.
std::optional<uint64_t> number(std::string_view field) {
  uint64_t value = 0;
  if (const auto first = static_cast<unsigned char>(field[0]); first & 0x80) {
    if (first != 0x80) return std::nullopt;
    for (const char c : field.substr(1)) {
      if (value >> 56) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  }
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  for (const char c : field) {
    if (c == ' ' || c == '\0') break;
    if (c < '0' || c > '7') return std::nullopt;
    value = value * 8 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

// The size among the records "LENGTH KEY=VALUE\n" of a pax header.
std::optional<uint64_t> pax_size(std::string_view records, std::string_view path) {
  std::optional<uint64_t> found;
  while (!records.empty()) {
    size_t length = 0;
    const auto [end, error] = std::from_chars(records.data(), records.data() + records.size(), length);
    const size_t digits = static_cast<size_t>(end - records.data());
    if (error != std::errc{} || length <= digits + 1 || length > records.size() || *end != ' ' ||
        records[length - 1] != '\n')
      refuse(path, "has an unreadable pax header");
    const std::string_view record = records.substr(digits + 1, length - digits - 2);
    records.remove_prefix(length);
    if (!record.starts_with("size=")) continue;
    uint64_t value = 0;
    const std::string_view text = record.substr(5);
    const auto [stop, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (wrong != std::errc{} || stop != text.data() + text.size() || text.empty())
      refuse(path, "has a size in its pax header that is no number");
    if (found && *found != value) refuse(path, "has two sizes in its pax header");
    found = value;
  }
  return found;
}

bool has_no_content(char type) {
  return type >= '1' && type <= '6';  // links, devices, folder, fifo
}

}  // namespace

std::string_view HeaderCheck::give(std::string piece) {
  if (in_content_)
    for (; !pieces_.empty(); pieces_.pop_front()) begin_ += pieces_.front().size();
  return pieces_.emplace_back(std::move(piece));
}

std::string_view HeaderCheck::bytes(uint64_t position, size_t size) {
  uint64_t at = begin_;
  joined_.clear();
  for (const std::string& piece : pieces_) {
    const uint64_t end = at + piece.size();
    if (position + joined_.size() < end && position >= begin_) {
      const std::string_view part =
          std::string_view(piece).substr(position + joined_.size() - at, size - joined_.size());
      if (part.size() == size) return part;
      joined_ += part;
      if (joined_.size() == size) return joined_;
    }
    at = end;
  }
  throw Error(ErrorKind::Invalid, "the layer is not a readable tar archive: a header is cut off");
}

void HeaderCheck::check(uint64_t position, std::string_view path) {
  for (; pieces_.size() > 1 && begin_ + pieces_.front().size() <= position; pieces_.pop_front())
    begin_ += pieces_.front().size();
  std::optional<uint64_t> extended;
  for (int headers = 0;; ++headers) {
    if (headers == kMostHeaders) refuse(path, "has too many headers");
    const std::string_view header = bytes(position, kBlock);
    const char type = header[kTypeAt];
    const auto size = number(header.substr(kSizeAt, kSizeLength));
    if (!size) refuse(path, "has a negative or unreadable size");
    position += kBlock;
    if (type == 'x' || type == 'X' || type == 'g' || type == 'L' || type == 'K' || type == 'V' ||
        type == 'A') {
      if (*size > kLargestHeader) refuse(path, "has too large a header");
      if (type == 'x' || type == 'g' || type == 'X') {
        const auto found = pax_size(bytes(position, *size), path);
        if (found && type == 'g') refuse(path, "has a size for all entries");
        if (found && extended && *found != *extended) refuse(path, "has two sizes in its pax headers");
        if (found) extended = found;
      }
      position += (*size + kBlock - 1) / kBlock * kBlock;
      continue;
    }
    // A writer leaves the field at zero when the true size does not fit in it.
    if (extended && *size != 0 && *size != *extended)
      refuse(path, "has two sizes: " + std::to_string(*size) + ", and " + std::to_string(*extended) +
                       " in its pax header");
    if (has_no_content(type) && extended.value_or(*size) != 0)
      refuse(path, "has content, though it is a link, a folder or a device");
    break;
  }
  in_content_ = true;
}

}  // namespace kiln::registry::detail
