#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

// Inside of registry/layers/unpack.cc: the raw headers of a layer's entries.
namespace kiln::registry::detail {

// Finds entries whose headers say two things about where the next entry begins (pax(1), "ustar" and "pax
// Header Block"). Readers believe one or the other, so such an archive holds different files for a scanner
// than for the one who unpacks it (CVE-2025-62518). Keeps only the pieces of the archive in which the next
// header can lie. For one thread.
class HeaderCheck {
 public:
  // Takes the archive's next piece; the view lives until the piece after it is given.
  std::string_view give(std::string piece);
  // The entry whose headers begin at `position` of the archive and whose content may be read from now on.
  // Throws Invalid.
  void check(uint64_t position, std::string_view path);
  // The content has been read: what is given from now on may be the next header.
  void content_ended() { in_content_ = false; }

 private:
  std::string_view bytes(uint64_t position, size_t size);

  std::deque<std::string> pieces_;
  uint64_t begin_ = 0;  // where in the archive pieces_ begin
  bool in_content_ = false;
  std::string joined_;
};

}  // namespace kiln::registry::detail
