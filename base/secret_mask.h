#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

// Finds secrets in text and puts `***` in their place: each longest run of bytes that belong to some secret
// becomes one mark. What counts as one: the value; each of its lines of at least 8 bytes; what it becomes in
// a URL or a form (percent-encoded, also with its slashes left), or in a string of JSON or of a program (with
// escapes); and what base64 makes of the value wherever in an encoded text it stands
// (standard and URL alphabet, three alignments, lines of 64 and 76), less the characters at both ends that
// depend on its neighbours too.
//
// Values of less than 4 bytes are left alone: "no", "1" or "dev" stand in every log, and masking them would
// make it unreadable and tell where they are. Values are cut into pieces of 64 bytes, so part of a long
// secret is masked too, and time does not depend on its length.
//
// Immutable and safe to share between threads; costs nothing when there are no secrets.
class SecretMask {
 public:
  SecretMask() = default;
  explicit SecretMask(std::span<const std::string> values);

  bool empty() const { return patterns_.empty(); }
  // All of `text` at once.
  std::string masked(std::string_view text) const;

  static constexpr std::string_view kMark = "***";
  static constexpr size_t kShortest = 4, kShortestLine = 8, kLongest = 64;

 private:
  friend class SecretStream;
  struct Match {
    size_t begin = 0, length = 0;
  };

  void add_value(std::string_view value);
  void add_in_urls(std::string_view value);
  void add_in_strings(std::string_view value);
  void add(std::string_view pattern);
  void index();
  // The first place at or after `from` where patterns begin, and the longest of them; length 0: none.
  Match find(std::string_view text, size_t from) const;
  Match find_among(std::string_view text, size_t first, size_t last) const;  // those that begin there
  size_t match_at(std::string_view text, size_t at) const;
  // Where the longest end of `text` begins that is the start of a pattern and not all of it.
  size_t open_end(std::string_view text) const;
  std::span<const std::string> with_prefix(const char* four) const;

  std::vector<std::string> patterns_;  // sorted, each once, kShortest to kLongest bytes
  // For a window as long as the shortest pattern: how far it can move when it ends in these two bytes.
  size_t window_ = 0;
  std::vector<uint8_t> shift_;
  // Patterns by their first four bytes: a power of two of slots, each the first of its patterns, plus one.
  std::vector<uint32_t> slots_;
  std::vector<bool> starts_;  // by the first byte
};

// One stream of output. Holds back only what may be the start of a secret, until it is known; in whatever
// pieces the text comes, what goes out is the same. For one thread at a time.
class SecretStream {
 public:
  using Sink = std::function<void(std::string_view)>;

  // `mask` has to outlive it.
  explicit SecretStream(const SecretMask& mask) : mask_(&mask) {}
  void feed(std::string_view text, const Sink& sink);
  // The end of the text: what was held back is no secret.
  void finish(const Sink& sink);

 private:
  // Puts out text[0, end) and returns; matches are looked for in all of it.
  void put(std::string_view text, size_t end, const Sink& sink);

  const SecretMask* mask_;
  std::string held_;
  size_t covered_ = 0;   // bytes at the start of what comes next that a match already covers
  bool marked_ = false;  // the last thing put out was a mark: what touches it belongs to it
};

}  // namespace kiln
