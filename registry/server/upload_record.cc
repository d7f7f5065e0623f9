#include "registry/server/upload_record.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "registry/reference.h"

namespace kiln::registry::detail {

using nlohmann::json;

std::string UploadRecord::text() const {
  return json{{"repository", repository}, {"algorithm", algorithm}, {"flushed", flushed}, {"boot", boot}}
             .dump() +
         "\n";
}

std::optional<UploadRecord> UploadRecord::parse(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  UploadRecord record;
  for (const auto& [name, member] : {std::pair{"repository", &UploadRecord::repository},
                                     {"algorithm", &UploadRecord::algorithm},
                                     {"boot", &UploadRecord::boot}}) {
    const auto it = document.find(name);
    if (it == document.end() || !it->is_string()) return std::nullopt;
    record.*member = it->get<std::string>();
  }
  const auto flushed = document.find("flushed");
  if (flushed == document.end() || !flushed->is_number_unsigned()) return std::nullopt;
  record.flushed = flushed->get<uint64_t>();
  if (!is_repository_name(record.repository)) return std::nullopt;
  if (record.algorithm != "sha256" && record.algorithm != "sha512") return std::nullopt;
  return record;
}

uint64_t UploadRecord::trusted(uint64_t size) const {
  return boot == boot_id() ? size : std::min(flushed, size);
}

}  // namespace kiln::registry::detail
