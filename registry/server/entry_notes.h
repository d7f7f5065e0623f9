#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "base/clock.h"
#include "registry/image.h"

// Annotations that the embedded registry puts on its entries of the store's index.
namespace kiln::registry {

// The digest that a manifest's `subject` names, to answer "referrers" without reading all.
inline constexpr const char* kSubject = "dev.kiln.registry.subject";
// Of a tag: when it was pushed last (RFC 3339). Of one from an upstream: when that was asked last.
inline constexpr const char* kPushed = "dev.kiln.registry.pushed";

// Notes the subject of a manifest, if it has one. Throws Invalid for one that is no descriptor.
void note_subject(Descriptor& entry, const nlohmann::json& manifest);
std::optional<Time> pushed_at(const Descriptor& entry);

}  // namespace kiln::registry
