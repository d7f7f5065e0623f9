#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/secret_mask.h"
#include "dag/plan.h"

namespace kiln::executor {

// What must not be shown of a run: the values of all Secrets among its documents, whether they reach a step
// as variable, file or credential, and the passwords inside those that are registry configurations; and
// `more`.
SecretMask secrets_of(const dag::Plan& plan, std::vector<std::string> more = {});

// The same document with every text in it masked.
nlohmann::json masked(const SecretMask& secrets, nlohmann::json document);

}  // namespace kiln::executor
