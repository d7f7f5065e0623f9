#include "resolvers/bundle_layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <memory>

#include "base/error.h"
#include "base/text.h"
#include "base/utf8_locale.h"
#include "registry/layers/decompress.h"

namespace kiln::resolvers {
namespace {

constexpr uint64_t kTarOverhead = 64u << 10;  // headers and padding around one file

struct FreeArchive {
  void operator()(archive* reader) const { ::archive_read_free(reader); }
};

Error too_large(uint64_t limit) {
  return Error(ErrorKind::Invalid, "the bundle's layer holds a document larger than " + format_bytes(limit));
}

Error damaged(archive* reader) {
  const char* why = ::archive_error_string(reader);
  return Error(ErrorKind::Invalid,
               "the bundle's layer is a damaged archive: " + std::string(why ? why : "unknown error"));
}

std::string decompressed(std::string_view layer, uint64_t limit) {
  std::string out;
  registry::Decompressor decompressor([&](std::string_view piece) {
    if (out.size() + piece.size() > limit + kTarOverhead) throw too_large(limit);
    out += piece;
  });
  decompressor.write(layer);
  decompressor.finish();
  return out;
}

std::string content_of(archive* reader, uint64_t limit) {
  std::string content;
  char buffer[16 << 10];
  for (;;) {
    const la_ssize_t count = ::archive_read_data(reader, buffer, sizeof buffer);
    if (count < 0) throw damaged(reader);
    if (count == 0) return content;
    content.append(buffer, static_cast<size_t>(count));
    if (content.size() > limit) throw too_large(limit);
  }
}

}  // namespace

std::string bundle_document(std::string_view layer, uint64_t limit) {
  const std::string bytes = decompressed(layer, limit);
  const Utf8Locale utf8;
  const std::unique_ptr<archive, FreeArchive> reader(::archive_read_new());
  if (!reader) throw std::bad_alloc();
  ::archive_read_support_format_tar(reader.get());
  ::archive_read_support_filter_none(reader.get());
  archive_entry* entry = nullptr;
  int result = ::archive_read_open_memory(reader.get(), bytes.data(), bytes.size());
  if (result == ARCHIVE_OK) result = ::archive_read_next_header(reader.get(), &entry);
  if (result == ARCHIVE_FATAL) {  // no tar: the document itself
    if (bytes.size() > limit) throw too_large(limit);
    return bytes;
  }
  std::string document;
  int files = 0;
  for (; result != ARCHIVE_EOF; result = ::archive_read_next_header(reader.get(), &entry)) {
    if (result < ARCHIVE_WARN) throw damaged(reader.get());
    if (::archive_entry_filetype(entry) == AE_IFDIR) continue;
    if (::archive_entry_filetype(entry) != AE_IFREG || ::archive_entry_hardlink(entry) || ++files > 1) {
      files = 2;
      break;
    }
    document = content_of(reader.get(), limit);
  }
  if (files != 1)
    throw Error(ErrorKind::Invalid, "the bundle's layer does not hold exactly one file",
                "each layer of a Tekton bundle is an archive of one document");
  return document;
}

}  // namespace kiln::resolvers
