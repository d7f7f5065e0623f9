#include "registry/reference.h"

#include "base/error.h"
#include "base/text.h"

namespace kiln::registry {
namespace {

bool is_lower_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_word(char c) {
  return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

// [a-z0-9]+ ( ( [.] | _ | __ | -+ ) [a-z0-9]+ )*
bool is_component(std::string_view text) {
  size_t i = 0;
  const auto alnums = [&] {
    const size_t from = i;
    while (i < text.size() && is_lower_alnum(text[i])) ++i;
    return i > from;
  };
  if (!alnums()) return false;
  while (i < text.size()) {
    if (text[i] == '.') {
      ++i;
    } else if (text[i] == '_') {
      ++i;
      if (i < text.size() && text[i] == '_') ++i;
    } else if (text[i] == '-') {
      while (i < text.size() && text[i] == '-') ++i;
    } else {
      return false;
    }
    if (!alnums()) return false;
  }
  return true;
}

bool is_host(std::string_view text) {
  std::string_view name = text, port;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    name = text.substr(1, close - 1);
    if (name.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return false;
    port = text.substr(close + 1);
    if (port.empty()) return true;
  } else {
    const size_t colon = text.find(':');
    name = text.substr(0, colon);
    if (name.empty() || name.starts_with('-') || name.starts_with('.')) return false;
    for (const char c : name)
      if (!is_word(c) && c != '-' && c != '.') return false;
    if (colon == std::string_view::npos) return true;
    port = text.substr(colon);
  }
  return port.size() >= 2 && port.size() <= 6 && port[0] == ':' &&
         port.substr(1).find_first_not_of("0123456789") == std::string_view::npos;
}

bool looks_like_host(std::string_view first) {
  return first == "localhost" || first.find_first_of(".:[") != std::string_view::npos ||
         to_lower(first) != first;
}

}  // namespace

bool is_repository_name(std::string_view text) {
  if (text.empty() || text.size() > 255) return false;
  for (const std::string& component : split(text, '/'))
    if (!is_component(component)) return false;
  return true;
}

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > 128 || !is_word(text[0])) return false;
  for (const char c : text)
    if (!is_word(c) && c != '.' && c != '-') return false;
  return true;
}

std::optional<Reference> Reference::try_parse(std::string_view text, std::string* problem) {
  const auto fail = [&](std::string why) -> std::optional<Reference> {
    if (problem) *problem = std::move(why);
    return std::nullopt;
  };
  if (text.starts_with("docker://")) text.remove_prefix(9);
  if (text.empty()) return fail("it is empty");
  if (text.size() > 1024) return fail("it is longer than 1024 bytes");

  Reference reference;
  std::string_view rest = text;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = Digest::parse(rest.substr(at + 1));
    if (!reference.digest) return fail("what follows the @ is not a digest (sha256:<64 hex digits>)");
    rest = rest.substr(0, at);
  }
  const size_t last_slash = rest.rfind('/');
  const size_t name_from = last_slash == std::string_view::npos ? 0 : last_slash + 1;
  if (const size_t colon = rest.find(':', name_from); colon != std::string_view::npos) {
    reference.tag = rest.substr(colon + 1);
    if (!is_tag(reference.tag)) return fail("\"" + reference.tag + "\" is not a tag");
    rest = rest.substr(0, colon);
  }
  if (reference.tag.empty() && !reference.digest) reference.tag = "latest";

  const std::string_view written = rest;
  const size_t slash = rest.find('/');
  if (slash != std::string_view::npos && looks_like_host(rest.substr(0, slash))) {
    reference.host = rest.substr(0, slash);
    if (!is_host(reference.host)) return fail("\"" + reference.host + "\" is not a registry host");
    rest.remove_prefix(slash + 1);
    if (reference.host == "index.docker.io" || reference.host == "registry-1.docker.io")
      reference.host = "docker.io";
  } else if (!rest.starts_with("kiln/")) {
    reference.host = "docker.io";
  }
  reference.repository = rest;
  if (reference.host == "docker.io" && rest.find('/') == std::string_view::npos)
    reference.repository = "library/" + reference.repository;
  if (!is_repository_name(reference.repository)) {
    if (to_lower(rest) != rest && is_repository_name(to_lower(rest)))
      return fail("repository names are lower-case");
    return fail("\"" + std::string(rest) + "\" is not a repository name");
  }
  reference.familiar = written;
  if (!reference.tag.empty()) reference.familiar += ":" + reference.tag;
  if (reference.digest) reference.familiar += "@" + reference.digest->text();
  return reference;
}

Reference Reference::parse(std::string_view text) {
  std::string problem;
  if (auto reference = try_parse(text, &problem)) return *std::move(reference);
  throw Error(ErrorKind::Invalid,
              "\"" + std::string(text.substr(0, 200)) + "\" is not an image reference: " + problem,
              "write [HOST/]NAME[:TAG], e.g. localhost:8080/hello:latest");
}

std::string Reference::text() const {
  std::string out = host.empty() ? repository : host + "/" + repository;
  if (!tag.empty()) out += ":" + tag;
  if (digest) out += "@" + digest->text();
  return out;
}

}  // namespace kiln::registry
