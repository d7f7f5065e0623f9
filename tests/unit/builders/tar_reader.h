#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <cstdint>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8_locale.h"

namespace kiln::builders {

// One entry as libarchive, a reader that is not ours, sees it.
struct ReadEntry {
  std::string name, link, hardlink, content;
  unsigned type = 0;  // AE_IFREG, …
  unsigned mode = 0;
  int64_t uid = 0, gid = 0, size = 0, mtime = 0;
  std::map<std::string, std::string> xattrs;
};

// A tar, compressed or not, entry by entry. Any warning of the reader fails the test.
inline std::vector<ReadEntry> read_tar(std::string_view bytes) {
  const Utf8Locale locale;
  std::vector<ReadEntry> entries;
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(reader.get());
  archive_read_support_filter_gzip(reader.get());
  EXPECT_EQ(archive_read_open_memory(reader.get(), bytes.data(), bytes.size()), ARCHIVE_OK);
  archive_entry* raw = nullptr;
  int code;
  while ((code = archive_read_next_header(reader.get(), &raw)) == ARCHIVE_OK) {
    ReadEntry entry;
    entry.name = archive_entry_pathname(raw);
    if (const char* link = archive_entry_symlink(raw)) entry.link = link;
    if (const char* link = archive_entry_hardlink(raw)) entry.hardlink = link;
    entry.type = archive_entry_filetype(raw);
    entry.mode = archive_entry_perm(raw);
    entry.uid = archive_entry_uid(raw);
    entry.gid = archive_entry_gid(raw);
    entry.size = archive_entry_size(raw);
    entry.mtime = archive_entry_mtime(raw);
    archive_entry_xattr_reset(raw);
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    while (archive_entry_xattr_next(raw, &name, &value, &size) == ARCHIVE_OK)
      entry.xattrs[name] = std::string(static_cast<const char*>(value), size);
    char buffer[64 << 10];
    for (la_ssize_t n; (n = archive_read_data(reader.get(), buffer, sizeof buffer)) > 0;)
      entry.content.append(buffer, static_cast<size_t>(n));
    entries.push_back(std::move(entry));
  }
  EXPECT_EQ(code, ARCHIVE_EOF) << archive_error_string(reader.get());
  return entries;
}

inline std::vector<std::string> names_of(const std::vector<ReadEntry>& entries) {
  std::vector<std::string> names;
  for (const ReadEntry& entry : entries) names.push_back(entry.name);
  return names;
}

}  // namespace kiln::builders
