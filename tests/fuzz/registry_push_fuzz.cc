// A manifest that a stranger pushes: Content-Type, a line's end, the document. And what pushes do to the
// store's index: a change that does not fit is taken back without a trace.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "registry/server/entry_notes.h"
#include "registry/server/pushed_manifest.h"
#include "registry/store/repository_blobs.h"
#include "registry/store/store.h"

namespace {

using namespace kiln::registry;

void take(std::string_view type, std::string_view bytes) {
  try {
    const nlohmann::json document = detail::parse_pushed(bytes);
    const std::string found = detail::pushed_media_type(type, document);
    if (found.empty() || found.find('\n') != std::string::npos) std::abort();
    if (is_manifest(found)) required_blobs(parse_manifest(bytes));
    if (is_index(found)) parse_index(bytes);
    Descriptor entry{found, kiln::sha256(bytes), bytes.size(), {}, {}, {}, {}};
    note_subject(entry, document);
    const IndexEntry written(entry);
    const auto index = StoreIndex::parse(R"({"manifests":[)" + written.text + "]}", "index.json");
    if (index->entries().at(0)->descriptor != entry) std::abort();
  } catch (const kiln::Error&) {
  }
}

void edit(IndexEdit& index, uint8_t what) {
  Descriptor blob{
      std::string(media::kManifest), kiln::sha256(std::to_string(what % 3)), what % 3u, {}, {}, {}, {}};
  const std::string repository(1, static_cast<char>('a' + what / 8 % 3));
  const std::string name = repository + ":" + std::to_string(what / 32);
  switch (what % 8) {
    case 0:
      index.remove(name);
      break;
    case 1:
      index.remove_if(repository, [](const IndexEntry& entry) { return entry.tag.empty(); });
      break;
    case 2:
      index.set_nameless(blob);
      break;
    case 3:
    case 4:
      blob.annotations[Store::kRepository] = repository;
      index.add(blob);
      break;
    default:
      index.name(name, blob);
  }
}

// Every change is tried with a bound that it may not fit, and then made on an index that knows of no attempt.
void change(std::string_view bytes) {
  auto before = StoreIndex::parse(R"({"schemaVersion":2,"manifests":[]})", "index.json");
  IndexEdit index(before);
  for (size_t at = 0; at + 2 < bytes.size() && at < 60; at += 3) {
    const auto part = [&](IndexEdit& one) {
      edit(one, static_cast<uint8_t>(bytes[at]));
      edit(one, static_cast<uint8_t>(bytes[at + 1]));
    };
    const uint64_t limit = static_cast<uint8_t>(bytes[at + 2]) * 8u;
    IndexEdit anew(before);
    part(anew);
    const std::string old = before->text(), next = anew.finish()->text();
    const bool made = index.apply(part, limit);
    if (index.finish()->text() != (made ? next : old)) std::abort();
    if (made && next.size() > old.size() && next.size() > limit + 1) std::abort();
    before = index.finish();
    index.carry_on(before);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(text.find('\n'), size);
  take(text.substr(0, end), text.substr(std::min(end + 1, size)));
  change(text);
  return 0;
}
