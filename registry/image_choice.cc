// Which image of an index is for a platform (image-spec image-index.md).
#include <optional>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "registry/image.h"

namespace kiln::registry {
namespace {

// How well an entry's variant does for the wanted one: more is better, nothing at all does not.
std::optional<int> fitness(std::string_view variant, std::string_view wanted) {
  if (wanted.empty()) return variant.empty() ? 1 : 0;
  if (variant == wanted) return 100;
  if (variant.empty()) return 1;
  // "v6" runs where "v7" does.
  const auto number = [](std::string_view text) {
    return text.size() == 2 && text[0] == 'v' && text[1] >= '0' && text[1] <= '9' ? text[1] - '0' : 100;
  };
  if (number(variant) >= number(wanted)) return std::nullopt;
  return 1 + number(variant);
}

Descriptor select_among(const std::vector<Descriptor>& entries, std::string_view os,
                        std::string_view architecture, std::string_view variant) {
  std::vector<std::string> available;
  const Descriptor* best = nullptr;
  int best_fitness = -1;
  for (const Descriptor& entry : entries) {
    if (entry.os == "unknown") continue;  // buildx puts its attestations there
    if (entry.os == os && entry.architecture == architecture)
      if (const auto fits = fitness(entry.variant, variant); fits && *fits > best_fitness) {
        best = &entry;
        best_fitness = *fits;
      }
    available.push_back(entry.os.empty() ? "(none given)"
                                         : entry.os + "/" + entry.architecture +
                                               (entry.variant.empty() ? "" : "/" + entry.variant));
  }
  // One entry that names no platform can only be meant for all of them.
  if (!best && entries.size() == 1 && entries[0].os.empty()) best = &entries[0];
  if (best) return *best;
  throw Error(ErrorKind::NotFound,
              "the image is not made for " + std::string(os) + "/" + std::string(architecture) +
                  (variant.empty() ? "" : "/" + std::string(variant)),
              available.empty() ? "its index is empty" : "it is there for " + join(available, ", "));
}

// An index with those below it, as one list that leaves no platform unsaid.
class Flattening {
 public:
  explicit Flattening(const DocumentReader& read) : read_(read) {}

  std::vector<Descriptor> run(std::string_view index_json) {
    add(index_json, 0);
    return std::move(entries_);
  }

 private:
  void add(std::string_view index_json, int depth) {
    for (Descriptor& entry : parse_index(index_json)) {
      if (is_index(entry.media_type) && depth < kIndexDepthLimit) {
        if (may_read(entry)) add(read_(entry), depth + 1);
      } else {
        if (entry.os.empty() && is_manifest(entry.media_type) && may_read(entry)) look_into(entry);
        entries_.push_back(std::move(entry));
      }
    }
  }
  bool may_read(const Descriptor& document) {
    return document.size <= kDocumentLimit && seen_.insert(document.digest).second &&
           seen_.size() <= kDocuments;
  }
  void look_into(Descriptor& entry) {
    const Manifest manifest = parse_manifest(read_(entry));
    const std::string_view type = manifest.config.media_type;  // others are no image's
    if ((type != media::kConfig && type != media::kDockerConfig) || manifest.config.size > kDocumentLimit)
      return;
    const ImageConfig config = parse_config(read_(manifest.config));
    entry.os = config.os;
    entry.architecture = config.architecture;
  }

  static constexpr uint64_t kDocumentLimit = 4u << 20;
  static constexpr size_t kDocuments = 64;
  static constexpr int kIndexDepthLimit = 4;
  const DocumentReader& read_;
  std::vector<Descriptor> entries_;
  std::set<Digest> seen_;
};

}  // namespace

Descriptor select_platform(std::string_view index_json, std::string_view os, std::string_view architecture,
                           std::string_view variant) {
  return select_among(parse_index(index_json), os, architecture, variant);
}

Descriptor find_platform(std::string_view index_json, std::string_view os, std::string_view architecture,
                         std::string_view variant, const DocumentReader& read) {
  try {
    Descriptor found = select_platform(index_json, os, architecture, variant);
    if (!is_index(found.media_type)) return found;  // what most indexes say is enough
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;
  }
  return select_among(Flattening(read).run(index_json), os, architecture, variant);
}

}  // namespace kiln::registry
