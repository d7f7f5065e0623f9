#include "base/secret_mask.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/http.h"
#include "base/text.h"

namespace kiln {
namespace {

uint32_t four_bytes(const char* at) {
  uint32_t out;
  std::memcpy(&out, at, sizeof out);
  return out;
}

size_t two_bytes(const char* at) {
  return static_cast<unsigned char>(at[0]) << 8 | static_cast<unsigned char>(at[1]);
}

size_t slot_of(uint32_t prefix, size_t slots) {
  return (prefix * 0x9E3779B1u >> 7) & (slots - 1);
}

// The characters of base64 that `value` alone decides when `before` bytes stand before it (modulo 3).
std::string base64_core(std::string_view value, size_t before) {
  const std::string encoded = base64_encode(std::string(before, '\0') + std::string(value));
  const size_t begin = (before * 8 + 5) / 6, end = (before + value.size()) * 8 / 6;
  return encoded.substr(begin, end - begin);
}

std::string in_url_alphabet(std::string text) {
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  return text;
}

}  // namespace

SecretMask::SecretMask(std::span<const std::string> values) {
  for (const std::string& value : values) add_value(value);
  index();
}

void SecretMask::add_value(std::string_view value) {
  // Files and `echo` end in a line break, which is hardly ever printed with the value.
  while (value.ends_with('\n') || value.ends_with('\r')) value.remove_suffix(1);
  if (value.size() < kShortest) return;
  add(value);
  add_in_urls(value);
  add_in_strings(value);
  if (value.find('\n') != std::string_view::npos)
    for (const std::string& line : split(value, '\n'))
      if (const std::string_view words = trim(line); words.size() >= kShortestLine) add(words);
  for (size_t before = 0; before < 3; ++before) {
    const std::string core = base64_core(value, before);
    for (const std::string& text : {core, in_url_alphabet(core)}) {
      add(text);
      if (before > 0) continue;
      for (const size_t columns : {64, 76})  // as base64(1) and PEM break lines
        for (size_t at = 0; columns < text.size() && at < text.size(); at += columns)
          add(std::string_view(text).substr(at, columns));
    }
  }
}

// As components of URLs and as form fields, with the hexadecimal digits that either kind of program writes.
void SecretMask::add_in_urls(std::string_view value) {
  for (const std::string_view kept : {"", "/"}) {
    const std::string encoded = percent_encode(value, kept);
    if (encoded == value) continue;
    std::string small = encoded;
    for (size_t at = small.find('%'); at != std::string::npos; at = small.find('%', at + 3))
      std::transform(&small[at], &small[at] + 3, &small[at],
                     [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
    for (const std::string& text : {encoded, small}) {
      add(text);
      add(replace_all(text, "%20", "+"));
    }
  }
}

// As JSON has it, with and without other letters than ASCII's and with escaped slashes, and as languages show
// a string between quotes of either kind.
void SecretMask::add_in_strings(std::string_view value) {
  for (const bool ascii : {false, true}) {
    const nlohmann::json string = value;
    const std::string quoted = string.dump(-1, ' ', ascii, nlohmann::json::error_handler_t::ignore);
    const std::string escaped = quoted.substr(1, quoted.size() - 2);
    const std::string in_single = replace_all(escaped, "\\\"", "\"");
    for (const std::string& text :
         {escaped, replace_all(escaped, "/", "\\/"), in_single, replace_all(in_single, "'", "\\'")})
      if (text != value) add(text);
  }
}

void SecretMask::add(std::string_view pattern) {
  if (pattern.size() < kShortest) return;
  for (size_t at = 0; at + kLongest < pattern.size(); at += kLongest)
    patterns_.emplace_back(pattern.substr(at, kLongest));
  patterns_.emplace_back(pattern.size() <= kLongest ? pattern : pattern.substr(pattern.size() - kLongest));
}

void SecretMask::index() {
  std::ranges::sort(patterns_);
  patterns_.erase(std::unique(patterns_.begin(), patterns_.end()), patterns_.end());
  if (patterns_.empty()) return;
  window_ = std::ranges::min(patterns_, {}, &std::string::size).size();
  shift_.assign(1 << 16, static_cast<uint8_t>(window_ - 1));
  starts_.assign(256, false);
  size_t slots = 64;
  while (slots < patterns_.size() * 4) slots *= 2;
  slots_.assign(slots, 0);
  for (size_t i = 0; i < patterns_.size(); ++i) {
    const char* pattern = patterns_[i].data();
    starts_[static_cast<unsigned char>(*pattern)] = true;
    for (size_t at = 0; at + 1 < window_; ++at) {
      uint8_t& shift = shift_[two_bytes(pattern + at)];
      shift = std::min(shift, static_cast<uint8_t>(window_ - 2 - at));
    }
    if (i > 0 && four_bytes(patterns_[i - 1].data()) == four_bytes(pattern)) continue;
    size_t slot = slot_of(four_bytes(pattern), slots);
    while (slots_[slot] != 0) slot = (slot + 1) & (slots - 1);
    slots_[slot] = static_cast<uint32_t>(i + 1);
  }
}

std::span<const std::string> SecretMask::with_prefix(const char* four) const {
  const uint32_t prefix = four_bytes(four);
  for (size_t slot = slot_of(prefix, slots_.size()); slots_[slot] != 0;
       slot = (slot + 1) & (slots_.size() - 1)) {
    const size_t first = slots_[slot] - 1;
    if (four_bytes(patterns_[first].data()) != prefix) continue;
    size_t end = first + 1;
    while (end < patterns_.size() && four_bytes(patterns_[end].data()) == prefix) ++end;
    return std::span(patterns_).subspan(first, end - first);
  }
  return {};
}

size_t SecretMask::match_at(std::string_view text, size_t at) const {
  size_t longest = 0;
  for (const std::string& pattern : with_prefix(text.data() + at))
    if (pattern.size() > longest && text.substr(at).starts_with(pattern)) longest = pattern.size();
  return longest;
}

SecretMask::Match SecretMask::find_among(std::string_view text, size_t first, size_t last) const {
  for (size_t end = first + window_; end <= std::min(text.size(), last + window_);) {
    const uint8_t shift = shift_[two_bytes(text.data() + end - 2)];
    if (shift == 0) {
      const size_t begin = end - window_;
      if (const size_t length = match_at(text, begin)) return {begin, length};
    }
    end += std::max<size_t>(shift, 1);
  }
  return {text.size(), 0};
}

// A window has as many pairs of bytes as the stride is long, so one look falls into each; and unlike the
// shifts, no look has to wait for the one before.
SecretMask::Match SecretMask::find(std::string_view text, size_t from) const {
  const size_t stride = window_ - 1;
  for (size_t at = from + stride - 1; at + 1 < text.size(); at += stride) {
    if (shift_[two_bytes(text.data() + at)] == stride) continue;  // in no window
    if (const Match match = find_among(text, at - stride + 1, at); match.length > 0) return match;
  }
  return {text.size(), 0};
}

size_t SecretMask::open_end(std::string_view text) const {
  for (size_t at = text.size() - std::min(text.size(), kLongest - 1); at < text.size(); ++at) {
    if (!starts_[static_cast<unsigned char>(text[at])]) continue;
    const std::string_view end = text.substr(at);
    const auto after = std::ranges::upper_bound(patterns_, end);
    if (after != patterns_.end() && std::string_view(*after).starts_with(end)) return at;
  }
  return text.size();
}

std::string SecretMask::masked(std::string_view text) const {
  std::string out;
  SecretStream stream(*this);
  const auto append = [&](std::string_view part) { out += part; };
  stream.feed(text, append);
  stream.finish(append);
  return out;
}

void SecretStream::put(std::string_view text, size_t end, const Sink& sink) {
  size_t plain = std::min(covered_, end);  // what of the text is put out already
  size_t run_end = covered_;               // of the run of covered bytes that is open
  bool open = covered_ > 0 || marked_;     // its mark is out
  const auto emit_plain = [&](size_t until) {
    if (until <= plain) return;
    sink(text.substr(plain, until - plain));
    open = false;
    plain = until;
  };
  for (size_t from = 0; from < end;) {
    const SecretMask::Match match = mask_->find(text, from);
    if (match.length == 0 || match.begin >= end) break;
    if (match.begin > run_end) emit_plain(match.begin);
    if (!open) sink(SecretMask::kMark);
    open = true;
    run_end = std::max(run_end, match.begin + match.length);
    plain = std::min(run_end, end);
    from = match.begin + 1;
  }
  emit_plain(end);
  covered_ = run_end > end ? run_end - end : 0;
  marked_ = open;
}

void SecretStream::feed(std::string_view text, const Sink& sink) {
  if (mask_->empty()) return sink(text);
  if (!held_.empty()) {  // across the seam, without copying all of the text
    const size_t head = std::min(text.size(), 2 * SecretMask::kLongest);
    const std::string seam = held_ + std::string(text.substr(0, head));
    const size_t end = mask_->open_end(seam);
    put(seam, end, sink);
    held_ = seam.substr(end);
    if (head == text.size()) return;
    text.remove_prefix(head - held_.size());
    held_.clear();
  }
  const size_t end = mask_->open_end(text);
  put(text, end, sink);
  held_ = text.substr(end);
}

void SecretStream::finish(const Sink& sink) {
  if (held_.empty()) return;
  const std::string rest = std::exchange(held_, {});
  put(rest, rest.size(), sink);
}

}  // namespace kiln
