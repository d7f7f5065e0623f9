#pragma once

#include <filesystem>

namespace kiln {

// Where Kiln keeps things. Plain paths; nothing is created here.
struct Dirs {
  std::filesystem::path data;     // store/
  std::filesystem::path state;    // kiln.db, runs/
  std::filesystem::path cache;    // build caches, git mirrors
  std::filesystem::path config;   // config.toml
  std::filesystem::path runtime;  // sockets and mount points: short-lived, private

  std::filesystem::path store() const { return data / "store"; }
  std::filesystem::path database() const { return state / "kiln.db"; }
  std::filesystem::path runs() const { return state / "runs"; }

  // All of it under one folder (`--root`, KILN_ROOT).
  static Dirs under(const std::filesystem::path& root);
  // XDG base directories, with `kiln` appended; as the specification says, relative values are ignored.
  // Without HOME the user's home is the one of passwd(5). Throws Usage when there is none either.
  static Dirs of_user();
};

}  // namespace kiln
