// Paths and headers of the registry's requests, and the record of an upload.
#include <cstdlib>
#include <string>
#include <string_view>

#include "registry/reference.h"
#include "registry/server/server_route.h"
#include "registry/server/upload_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kiln::registry;
  using namespace kiln::registry::detail;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  parse_route(text);
  parse_route("/v2/" + std::string(text));
  matches_etag(text, "\"a\"");
  for (const uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, UINT64_MAX}) {
    ByteRange range;
    if (parse_range(text, length, range) != RangeKind::Partial) continue;
    if (range.length == 0 || range.from >= length || range.length > length - range.from) std::abort();
  }
  if (const auto range = parse_content_range(text); range && range->length == 0) std::abort();
  if (const auto record = UploadRecord::parse(text)) {
    if (!is_repository_name(record->repository)) std::abort();
    const auto again = UploadRecord::parse(record->text());
    if (!again || again->flushed != record->flushed || again->repository != record->repository) std::abort();
    if (record->trusted(100) > 100) std::abort();
  }
  return 0;
}
