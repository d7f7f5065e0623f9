#include "dag/image_name.h"

#include <re2/re2.h>

#include "base/digest.h"
#include "base/text.h"

namespace kiln::dag {
namespace {

bool is_repository(std::string_view text) {
  static const re2::RE2 kPath(
      R"([a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*)*)");
  return text.size() <= 255 && re2::RE2::FullMatch(text, kPath);
}

bool is_tag(std::string_view text) {
  static const re2::RE2 kTag(R"(\w[\w.-]*)");
  return text.size() <= 128 && re2::RE2::FullMatch(text, kTag);
}

bool is_host(std::string_view text) {
  static const re2::RE2 kHost(R"((?:\[[0-9a-fA-F:.]{2,}\]|\w[\w.-]*)(?::[0-9]{1,5})?)");
  return re2::RE2::FullMatch(text, kHost);
}

// Before the first slash only what could be no part of a repository's name is a host.
bool looks_like_host(std::string_view first) {
  return first == "localhost" || first.find_first_of(".:[") != std::string_view::npos ||
         to_lower(first) != first;
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

}  // namespace

std::string image_name_problem(std::string_view name) {
  if (name.starts_with("docker://")) name.remove_prefix(9);
  if (name.empty()) return "it is empty";
  if (name.size() > 1024) return "it is longer than 1024 bytes";
  if (name.find_first_of(" \t\r\n") != std::string_view::npos) return "it holds a space";
  if (const size_t at = name.find('@'); at != std::string_view::npos) {
    if (!Digest::parse(name.substr(at + 1)))
      return "what follows the @ is not a digest (sha256:<64 hex digits>)";
    name = name.substr(0, at);
  }
  const size_t last_slash = name.rfind('/');
  const size_t colon = name.find(':', last_slash == std::string_view::npos ? 0 : last_slash);
  if (colon != std::string_view::npos) {
    if (!is_tag(name.substr(colon + 1))) return quoted(name.substr(colon + 1)) + " is not a tag";
    name = name.substr(0, colon);
  }
  const size_t slash = name.find('/');
  if (slash != std::string_view::npos && looks_like_host(name.substr(0, slash))) {
    if (!is_host(name.substr(0, slash))) return quoted(name.substr(0, slash)) + " is not a registry host";
    name.remove_prefix(slash + 1);
  }
  if (is_repository(name)) return {};
  if (is_repository(to_lower(name))) return "repository names are lower-case";
  return quoted(name) + " is not a repository name";
}

void check_image_name(std::string_view name, const Text& written, Reporter& reporter) {
  if (may_have_variables(name)) return;
  const std::string problem = image_name_problem(name);
  if (problem.empty() || reporter.misread(written.at)) return;
  const std::string lower = to_lower(name);
  reporter.error(written.at,
                 quoted(name.substr(0, 200)) + " cannot be an image" +
                     (name == written.value ? "" : " (" + written.value + ")") + ": " + problem,
                 lower != name && image_name_problem(lower).empty()
                     ? "did you mean `" + lower + "`?"
                     : "write [HOST/]NAME[:TAG][@DIGEST], such as localhost:8080/hello:v1");
}

}  // namespace kiln::dag
