#pragma once

// Annotations that the embedded registry puts on its entries of the store's index.
namespace kiln::registry {

// The digest that a manifest's `subject` names, to answer "referrers" without reading all.
inline constexpr const char* kSubject = "dev.kiln.registry.subject";
// Of a tag: when it was pushed last (RFC 3339). Of one from an upstream: when that was asked last.
inline constexpr const char* kPushed = "dev.kiln.registry.pushed";

}  // namespace kiln::registry
