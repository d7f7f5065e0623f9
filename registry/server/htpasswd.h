#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/fs.h"
#include "registry/store/store_blobs.h"

namespace kiln::registry {

// Users and their passwords, from a file as Apache's htpasswd writes it: a line each, NAME:HASH, with bcrypt
// hashes ($2a$, $2b$, $2y$) only. Thread-safe.
//
// The file is read anew when it changes. What is wrong with it then locks out the users of the wrong lines
// (all of them when it is gone) and is logged; a server does not end for it.
class Htpasswd {
 public:
  // One file's text, understood.
  struct Users {
    std::map<std::string, std::string, std::less<>> hashes;
    std::vector<std::string> problems;  // "line 3: …"
  };
  static Users parse(std::string_view text);

  // Throws Invalid when anything is wrong with the file, NotFound when it is not there.
  explicit Htpasswd(fs::path file);

  // Takes as long as the hash wants (50 ms and more), unless these two were right before: for a pool of its
  // own. It takes as long for a user who does not exist.
  bool check(std::string_view user, std::string_view password) const;
  // The same, if the answer is known without work; nullopt otherwise.
  std::optional<bool> check_known(std::string_view user, std::string_view password) const;
  // What stands for the user's present password in things that shall end when it is changed. Empty for a
  // user who does not exist.
  std::string fingerprint(std::string_view user) const;

 private:
  std::shared_ptr<const Users> users() const;
  std::string known_as(std::string_view user, std::string_view password, std::string_view hash) const;

  const fs::path file_;
  const std::string cache_key_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Users> users_;
  mutable detail::FileStamp stamp_{};
  mutable std::unordered_set<std::string> good_;  // keyed hashes, worthless outside of this process
};

}  // namespace kiln::registry
