#pragma once

#include <cstdint>
#include <filesystem>

namespace kiln {
class OpenFolder;
}

namespace kiln::builders {

// Copies an application's folder to where buildpacks may change it. `.git` stays behind: its index holds
// time stamps, and an image must depend on the files alone. Links are copied as links, sockets and devices
// are left out. Owners become uid:gid when we may set them.
void copy_source(const std::filesystem::path& from, const std::filesystem::path& to, uint32_t uid,
                 uint32_t gid);

// Makes uid:gid the owner where that is possible: not for an ordinary user, and not in a user namespace that
// does not know the ids (there the build sandbox maps its user to the caller, who owns the path already).
void give_to(const std::filesystem::path& path, uint32_t uid, uint32_t gid);

// A digest over names, inodes, sizes, modes and times of all in a folder: equal means nothing was touched.
std::string stat_fingerprint(const OpenFolder& folder);

}  // namespace kiln::builders
