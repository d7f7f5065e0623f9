#include "cli/transfer_list.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/display.h"

namespace kiln::cli {
namespace {

constexpr size_t kBar = 20;

// Empty where it would say nothing: of a few bytes, or of no time.
std::string rate(uint64_t bytes, Duration took) {
  constexpr uint64_t kTelling = 1u << 20;
  const double time = seconds(took);
  return time <= 0 || bytes < kTelling
             ? ""
             : format_bytes(static_cast<uint64_t>(static_cast<double>(bytes) / time)) + "/s";
}

std::string bar(uint64_t done, uint64_t total) {
  const size_t full = total == 0 ? kBar : static_cast<size_t>(done * kBar / total);
  return "[" + std::string(full, '=') + (full < kBar ? ">" : "") +
         std::string(full < kBar ? kBar - full - 1 : 0, ' ') + "]";
}

std::string counted(size_t count, const char* thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

}  // namespace

// "4f2a1b3c9d0e layer": the digest's beginning, and what it is.
std::string TransferList::label(const Event& event) {
  const bool config = event.media_type.find("config") != std::string::npos ||
                      event.media_type.find("container.image") != std::string::npos;
  return event.digest.short_text() + (config ? " config" : " layer ");
}

std::string TransferList::take(const Event& event, Time now) {
  using Kind = Event::Kind;
  // The manifest that ends it all is no blob.
  if (registry::is_manifest(event.media_type) || registry::is_index(event.media_type)) return {};
  const auto row =
      std::ranges::find_if(rows_, [&](const Row& known) { return known.last.digest == event.digest; });
  if (event.kind == Kind::Waiting || event.kind == Kind::Progress) {
    if (row == rows_.end())
      rows_.push_back({event, now});
    else {
      if (row->last.kind == Kind::Waiting) row->began = now;
      row->last = event;
    }
    return {};
  }
  const Duration took = row == rows_.end() || row->last.kind == Kind::Waiting ? Duration{} : now - row->began;
  if (row != rows_.end()) rows_.erase(row);
  const std::string begin = label(event) + "  ";
  switch (event.kind) {
    case Kind::Present:
      ++present_;
      return begin + format_bytes(event.total) + "  exists";
    case Kind::Mounted:
      ++mounted_;
      return begin + format_bytes(event.total) + "  mounted";
    case Kind::Elsewhere:
      ++elsewhere_;
      return begin + format_bytes(event.total) + "  not distributed: its manifest says where it is";
    default:
      ++moved_;
      bytes_ += event.total;
      const std::string speed = rate(event.total, took);
      return begin + format_bytes(event.total) + (speed.empty() ? "" : "  " + speed);
  }
}

std::vector<std::string> TransferList::draw(Time now, TerminalSize size) const {
  std::vector<std::string> lines;
  const size_t most = size.rows > 2 ? size.rows - 2 : 1;
  std::vector<const Row*> order;
  for (const bool moving : {true, false})
    for (const Row& row : rows_)
      if ((row.last.kind == Event::Kind::Progress) == moving) order.push_back(&row);
  for (size_t i = 0; i < order.size(); ++i) {
    if (i + 1 == most && order.size() > most) {
      lines.push_back("… and " + std::to_string(order.size() - i) + " more");
      break;
    }
    const Event& event = order[i]->last;
    std::string line = label(event) + "  ";
    if (event.kind == Event::Kind::Waiting)
      line += format_bytes(event.total) + "  waiting";
    else
      line += bar(event.done, event.total) + " " + format_bytes(event.done) + " / " +
              format_bytes(event.total) + "  " + rate(event.done, now - order[i]->began);
    lines.push_back(fit(line, size.columns));
  }
  return lines;
}

std::string TransferList::summary(Time now) const {
  std::vector<std::string> parts;
  if (moved_ > 0)
    parts.push_back(counted(moved_, "blob") + " moved (" + format_bytes(bytes_) + " in " +
                    format_seconds(seconds(now - started_)) + ")");
  if (present_ > 0) parts.push_back(counted(present_, "blob") + " there already");
  if (mounted_ > 0) parts.push_back(counted(mounted_, "blob") + " mounted");
  if (elsewhere_ > 0) parts.push_back(counted(elsewhere_, "blob") + " not distributed");
  if (parts.empty()) return "unchanged (CACHED)";
  return join(parts, ", ") + (moved_ == 0 ? " (CACHED)" : "");
}

nlohmann::json TransferList::to_json() const {
  return {{"moved", moved_}, {"bytes", bytes_}, {"present", present_}, {"mounted", mounted_}};
}

}  // namespace kiln::cli
