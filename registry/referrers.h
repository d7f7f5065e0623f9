#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "registry/image.h"

// Manifests that name another as their `subject` (image-spec manifest.md; distribution-spec, "Listing
// Referrers").
namespace kiln::registry {

// A manifest as the list of its subject's referrers shows it: descriptor, artifactType, annotations. One
// without artifactType counts as its config's type.
nlohmann::json referrer_entry(const Descriptor& manifest, const nlohmann::json& document);

// The tag that lists a digest's referrers where a registry has no API for it ("Referrers Tag Schema").
std::string referrers_tag(const Digest& subject);

}  // namespace kiln::registry
