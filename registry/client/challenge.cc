#include "registry/client/challenge.h"

#include "base/text.h"

namespace kiln::registry {
namespace {

bool is_token_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view text) {
  std::vector<Challenge> out;
  size_t at = 0;
  const auto skip = [&](std::string_view what) {
    while (at < text.size() && what.find(text[at]) != std::string_view::npos) ++at;
  };
  const auto token = [&] {
    const size_t from = at;
    while (at < text.size() && is_token_char(text[at])) ++at;
    return std::string(text.substr(from, at - from));
  };
  while (at < text.size()) {
    skip(" \t,");
    const std::string word = token();
    if (word.empty()) break;
    skip(" \t");
    if (at < text.size() && text[at] == '=' && !out.empty()) {
      ++at;
      skip(" \t");
      std::string value;
      if (at < text.size() && text[at] == '"') {
        for (++at; at < text.size() && text[at] != '"'; ++at) {
          if (text[at] == '\\' && at + 1 < text.size()) ++at;
          value += text[at];
        }
        if (at < text.size()) ++at;
      } else {
        value = token();
      }
      out.back().parameters.emplace(to_lower(word), std::move(value));
    } else {
      out.push_back({to_lower(word), {}});
    }
  }
  return out;
}

}  // namespace kiln::registry
