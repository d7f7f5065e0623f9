#include "resolvers/version.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace kiln::resolvers {
namespace {

std::optional<unsigned long> number(std::string_view text) {
  unsigned long value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Numbers by value and before words, words by their bytes, a longer list after its own beginning.
std::strong_ordering compare_prereleases(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty())
    return b.empty() <=> a.empty() == 0 ? std::strong_ordering::equal
           : a.empty()                  ? std::strong_ordering::greater
                                        : std::strong_ordering::less;
  const std::vector<std::string> left = split(a, '.'), right = split(b, '.');
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    const auto x = number(left[i]), y = number(right[i]);
    const std::strong_ordering order = x && y ? *x <=> *y
                                       : x || y
                                           ? (x ? std::strong_ordering::less : std::strong_ordering::greater)
                                           : left[i] <=> right[i];
    if (order != 0) return order;
  }
  return left.size() <=> right.size();
}

}  // namespace

std::optional<Version> Version::parse(std::string_view text) {
  text = trim(text);
  if (text.starts_with('v')) text.remove_prefix(1);
  text = text.substr(0, text.find('+'));
  Version version;
  if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    version.prerelease = text.substr(dash + 1);
    if (version.prerelease.empty()) return std::nullopt;
    text = text.substr(0, dash);
  }
  for (const std::string& part : split(text, '.')) {
    const auto value = number(part);
    if (!value) return std::nullopt;
    version.numbers.push_back(*value);
  }
  version.written = version.numbers.size();
  if (version.numbers.empty()) return std::nullopt;
  if (version.numbers.size() < 3) version.numbers.resize(3);
  return version;
}

std::strong_ordering Version::operator<=>(const Version& other) const {
  for (size_t i = 0; i < std::max(numbers.size(), other.numbers.size()); ++i) {
    const unsigned long a = i < numbers.size() ? numbers[i] : 0;
    const unsigned long b = i < other.numbers.size() ? other.numbers[i] : 0;
    if (a != b) return a <=> b;
  }
  return compare_prereleases(prerelease, other.prerelease);
}

bool VersionConstraint::Comparison::holds(const Version& candidate) const {
  const auto order = candidate <=> version;
  if (relation == "=") return order == 0;
  if (relation == "!=") return order != 0;
  // A prerelease is asked for by name or not at all.
  if (!candidate.prerelease.empty() && (version.prerelease.empty() || candidate.numbers != version.numbers))
    return false;
  if (relation == ">") return order > 0;
  if (relation == ">=") return order >= 0;
  if (relation == "<") return order < 0;
  if (relation == "<=") return order <= 0;
  // "~> 1.2" stays below 2, "~> 1.2.3" below 1.3: all but the last number that was written must agree.
  if (order < 0) return false;
  for (size_t i = 0; i + 1 < version.written; ++i)
    if (i >= candidate.numbers.size() || candidate.numbers[i] != version.numbers[i]) return false;
  return true;
}

std::optional<VersionConstraint> VersionConstraint::parse(std::string_view text) {
  VersionConstraint constraint;
  for (const std::string& part : split(text, ',')) {
    std::string_view rest = trim(part);
    const size_t end = std::min(rest.find_first_not_of("<>=!~"), rest.size());
    std::string relation(rest.substr(0, end));
    const auto version = Version::parse(rest.substr(end));
    constraint.exact_ = relation.empty();
    if (relation.empty()) relation = "=";
    static constexpr std::string_view kKnown[] = {"=", "!=", ">", ">=", "<", "<=", "~>"};
    if (!version || std::ranges::find(kKnown, relation) == std::end(kKnown)) return std::nullopt;
    constraint.comparisons_.push_back({std::move(relation), *version});
  }
  constraint.exact_ = constraint.exact_ && constraint.comparisons_.size() == 1;
  return constraint;
}

bool VersionConstraint::allows(const Version& version) const {
  return std::ranges::all_of(comparisons_, [&](const Comparison& one) { return one.holds(version); });
}

}  // namespace kiln::resolvers
