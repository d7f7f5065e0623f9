#include "registry/server/entry_notes.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace kiln::registry {

void note_subject(Descriptor& entry, const nlohmann::json& manifest) {
  if (!manifest.is_object()) return;
  const auto subject = manifest.find("subject");
  if (subject != manifest.end() && subject->is_object())
    entry.annotations[kSubject] = parse_descriptor(*subject).digest.text();
}

std::optional<Time> pushed_at(const Descriptor& entry) {
  const auto noted = entry.annotations.find(kPushed);
  return noted == entry.annotations.end() ? std::nullopt : parse_rfc3339(noted->second);
}

}  // namespace kiln::registry
