#include "registry/server/htpasswd.h"

#include <algorithm>
#include <crypt.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"
#include "registry/server/registry_settings.h"

namespace kiln::registry {
namespace {

constexpr uint64_t kFileLimit = 4u << 20;
constexpr size_t kRemembered = 4096;
constexpr int kDearestCost = 17;  // some ten seconds
constexpr int kUsualCost = 10;    // of a user who does not exist, in a file without any
constexpr size_t kHashSize = 60;  // "$2y$10$" and 53 characters

int cost_of(std::string_view hash) {
  return (hash[4] - '0') * 10 + (hash[5] - '0');
}

bool is_bcrypt(std::string_view hash) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_base64 = [&](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '/';
  };
  return hash.size() == kHashSize &&
         (hash.starts_with("$2a$") || hash.starts_with("$2b$") || hash.starts_with("$2y$")) &&
         is_digit(hash[4]) && is_digit(hash[5]) && hash[6] == '$' &&
         std::ranges::all_of(hash.substr(7), is_base64) && cost_of(hash) >= 4;
}

// Why a line cannot be used; empty when it can.
std::string problem_with(std::string_view user, std::string_view hash) {
  if (user.empty()) return "there is no user's name before the colon";
  if (user == AccessRule::kAnyUser || user == AccessRule::kAnonymous)
    return "\"" + std::string(user) + "\" has a meaning of its own in rules and cannot be a user";
  if (std::ranges::any_of(user, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return "the user's name has control characters";
  if (!is_bcrypt(hash))
    return "the password of \"" + std::string(user) +
           "\" is not a bcrypt hash ($2y$…); make it with `htpasswd -B FILE " + shell_quote(user) + "`";
  if (cost_of(hash) > kDearestCost)
    return "the password of \"" + std::string(user) + "\" has cost " + std::to_string(cost_of(hash)) +
           ": checking it takes minutes; at most " + std::to_string(kDearestCost);
  return {};
}

bool matches(std::string_view password, const std::string& hash) {
  if (password.find('\0') != std::string_view::npos) return false;  // crypt() would stop there
  const auto room = std::make_unique<crypt_data>();
  const std::string copy(password);
  const char* const made = ::crypt_r(copy.c_str(), hash.c_str(), room.get());
  return made && equal_constant_time(made, hash);
}

}  // namespace

Htpasswd::Users Htpasswd::parse(std::string_view text) {
  Users users;
  size_t number = 0;
  for (const std::string& raw : split(text, '\n')) {
    ++number;
    const std::string_view line = trim(raw);
    if (line.empty() || line.starts_with('#')) continue;
    const size_t colon = line.find(':');
    std::string problem;
    if (colon == std::string_view::npos)
      problem = "not NAME:HASH";
    else
      problem = problem_with(line.substr(0, colon), line.substr(colon + 1));
    if (problem.empty() && !users.hashes.emplace(line.substr(0, colon), line.substr(colon + 1)).second)
      problem = "\"" + std::string(line.substr(0, colon)) + "\" is there twice; the first counts";
    if (!problem.empty()) users.problems.push_back("line " + std::to_string(number) + ": " + problem);
  }
  return users;
}

Htpasswd::Htpasswd(fs::path file) : file_(std::move(file)), cache_key_(random_hex(32)) {
  const UniqueFd fd = open_file(file_, O_RDONLY);
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) throw_errno("cannot read " + file_.string());
  auto read = std::make_shared<Users>(parse(read_file(file_, kFileLimit)));
  if (!read->problems.empty())
    throw Error(ErrorKind::Invalid, file_.string() + ", " + join(read->problems, "; "));
  stamp_ = detail::stamp_of(st);
  users_ = std::move(read);
}

std::shared_ptr<const Htpasswd::Users> Htpasswd::users() const {
  struct stat st {};
  const bool there = ::stat(file_.c_str(), &st) == 0;
  const detail::FileStamp stamp = there ? detail::stamp_of(st) : detail::FileStamp{};
  std::lock_guard lock(mutex_);
  if (stamp == stamp_) return users_;
  auto read = std::make_shared<Users>();
  try {
    *read = parse(read_file(file_, kFileLimit));
  } catch (const Error& error) {
    read->problems.push_back(error.full());
  }
  for (const std::string& problem : read->problems)
    spdlog::error("registry: users of {}: {}", file_.string(), problem);
  users_ = std::move(read);
  stamp_ = stamp;
  good_.clear();
  return users_;
}

std::string Htpasswd::known_as(std::string_view user, std::string_view password,
                               std::string_view hash) const {
  return hmac_sha256(cache_key_, std::to_string(user.size()) + ":" + std::string(user) +
                                     std::to_string(password.size()) + ":" + std::string(password) +
                                     std::string(hash));
}

std::optional<bool> Htpasswd::check_known(std::string_view user, std::string_view password) const {
  const auto now = users();
  const auto it = now->hashes.find(user);
  if (it == now->hashes.end()) return std::nullopt;
  const std::string key = known_as(user, password, it->second);
  std::lock_guard lock(mutex_);
  return good_.contains(key) ? std::optional(true) : std::nullopt;
}

bool Htpasswd::check(std::string_view user, std::string_view password) const {
  if (const auto known = check_known(user, password)) return *known;
  const auto now = users();
  const auto it = now->hashes.find(user);
  if (it == now->hashes.end()) {
    // As much work as for the others, so that the time does not tell who exists.
    int cost = now->hashes.empty() ? kUsualCost : 0;
    for (const auto& [name, hash] : now->hashes) cost = std::max(cost, cost_of(hash));
    matches(password, "$2b$" + std::string(cost < 10 ? "0" : "") + std::to_string(cost) + "$" +
                          std::string(kHashSize - 7, '.'));
    return false;
  }
  if (!matches(password, it->second)) return false;
  const std::string key = known_as(user, password, it->second);
  std::lock_guard lock(mutex_);
  if (good_.size() >= kRemembered) good_.clear();
  good_.insert(key);
  return true;
}

std::string Htpasswd::fingerprint(std::string_view user) const {
  const auto now = users();
  const auto it = now->hashes.find(user);
  return it == now->hashes.end() ? std::string{} : sha256(it->second).short_text();
}

}  // namespace kiln::registry
