#include "base/diagnostic.h"

#include <algorithm>

#include "base/lines.h"
#include "base/utf8.h"

namespace kiln {
namespace {

// At most `length` bytes from `from`, whole characters only.
std::string_view window(std::string_view line, size_t from, size_t length) {
  while (from < line.size() && continues_code_point(line[from])) ++from;
  return prefix_of_code_points(line.substr(from), length);
}

std::string_view name_of(Severity severity) {
  switch (severity) {
    case Severity::Error:
      return "error";
    case Severity::Warning:
      return "warning";
    case Severity::Note:
      return "note";
  }
  return "error";
}

// A caret under a 10 MB line helps nobody: show a window around the column.
constexpr size_t kWindow = 160;

}  // namespace

bool has_errors(std::span<const Diagnostic> diagnostics) {
  return std::ranges::any_of(diagnostics, [](const Diagnostic& d) { return d.severity == Severity::Error; });
}

std::string render(const Diagnostic& d, std::string_view source) {
  return render(d, Lines(source));
}

std::string render(const Diagnostic& d, const Lines& source) {
  std::string out = d.file;
  if (d.at.line > 0) {
    out += ":" + std::to_string(d.at.line);
    if (d.at.column > 0) out += ":" + std::to_string(d.at.column);
  }
  out += ": ";
  out += name_of(d.severity);
  out += ": " + d.message + "\n";
  if (d.at.line > 0) {
    std::string_view line = source.line(d.at.line);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) {
      size_t column = std::min<size_t>(d.at.column > 0 ? d.at.column - 1 : 0, line.size());
      size_t from = column > kWindow / 2 && line.size() > kWindow ? column - kWindow / 2 : 0;
      const std::string_view shown = window(line, from, kWindow);
      const std::string_view before = line.substr(0, column).substr(
          std::min<size_t>(static_cast<size_t>(shown.data() - line.data()), column));
      const std::string gutter = std::to_string(d.at.line);
      out += "  " + gutter + " | ";
      for (char c : shown) out += static_cast<unsigned char>(c) < 0x20 && c != '\t' ? '?' : c;
      out += "\n  " + std::string(gutter.size(), ' ') + " | ";
      for (char c : before)
        if (!continues_code_point(c)) out += c == '\t' ? '\t' : ' ';
      out += "^\n";
    }
  }
  if (!d.hint.empty()) out += "  hint: " + d.hint + "\n";
  return out;
}

}  // namespace kiln
