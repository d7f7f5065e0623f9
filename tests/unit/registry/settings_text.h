#pragma once

#include <gtest/gtest.h>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/toml.h"
#include "registry/server/registry_settings.h"

namespace kiln::registry {

// The table [registry] with this text, of /etc/kiln/config.toml.
inline RegistrySettings settings_of(std::string_view toml) {
  RegistrySettings out;
  out.apply(parse_toml(std::string(toml), "config.toml"), "/etc/kiln/config.toml");
  return out;
}

// What the user is told about it.
inline std::string problem(std::string_view toml) {
  try {
    settings_of(toml).check();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Invalid);
    return error.message() + " (" + error.hint() + ")";
  }
  return "accepted";
}

}  // namespace kiln::registry
