#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::resolvers {

// A version as hubs write it: "0.6", "0.6.0", "v1.2.3-rc.1+build". What is left out is zero.
struct Version {
  std::vector<unsigned long> numbers;  // at least three
  std::string prerelease;
  size_t written = 0;  // how many numbers were there

  static std::optional<Version> parse(std::string_view text);
  // Semantic Versioning 2.0.0, section 11; what follows "+" does not count.
  std::strong_ordering operator<=>(const Version& other) const;
  bool operator==(const Version& other) const { return (*this <=> other) == std::strong_ordering::equal; }
};

// ">= 0.5.0, < 1.0": comparisons that all must hold. Operators: = != > >= < <= and ~>, which lets the last
// number that was written grow. A prerelease satisfies only what names a prerelease of the same version
// itself.
class VersionConstraint {
 public:
  // nullopt for what is none. A version alone is one too, and means "=".
  static std::optional<VersionConstraint> parse(std::string_view text);
  bool allows(const Version& version) const;
  // Whether it is a version and nothing else, so that there is nothing to choose.
  bool is_exact() const { return exact_; }

 private:
  struct Comparison {
    std::string relation;
    Version version;
    bool holds(const Version& version) const;
  };
  std::vector<Comparison> comparisons_;
  bool exact_ = false;
};

}  // namespace kiln::resolvers
