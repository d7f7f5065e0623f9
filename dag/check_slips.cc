#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "dag/check_task.h"

namespace kiln::dag {
namespace {

constexpr std::array<std::string_view, 6> kRoots{"params",  "tasks",   "workspaces",
                                                 "context", "results", "steps"};
// Written for one of the roots, in what no shell would take for a command.
constexpr auto kSlips =
    std::to_array<std::pair<std::string_view, std::string_view>>({{"param", "params"},
                                                                  {"parms", "params"},
                                                                  {"parameter", "params"},
                                                                  {"parameters", "params"},
                                                                  {"workspace", "workspaces"},
                                                                  {"result", "results"}});

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.';
}

// The letters, digits, "-", "_" and "." at `from`.
std::string_view word_at(std::string_view text, size_t from) {
  size_t end = from;
  while (end < text.size() && is_name_char(text[end])) ++end;
  return text.substr(from, end - from);
}

// What was meant by the `$…` at the front of `text`, and how much of it that is; "" when it is none of ours.
struct Slip {
  std::string written, meant;
};

Slip slip_at(std::string_view text, const ParamScope& scope) {
  if (text.size() < 4) return {};
  const bool bracket = text[1] == '(', brace = text[1] == '{';
  const std::string_view word = word_at(text, bracket || brace ? 2 : 1);
  const size_t dot = word.find('.');
  if (dot == std::string_view::npos || dot + 1 == word.size()) return {};
  const std::string root(word.substr(0, dot)), rest(word.substr(dot));
  const size_t end = word.size() + (bracket || brace ? 2 : 1);
  const char closing = end < text.size() ? text[end] : '\0';
  const bool known = std::ranges::find(kRoots, root) != kRoots.end();
  if (brace && known && closing == '}')
    return {std::string(text.substr(0, end + 1)), "$(" + std::string(word) + ")"};
  if (bracket && known && closing != ')' && closing != '[')
    return {std::string(text.substr(0, end)), "$(" + std::string(word) + ")"};
  if (bracket && closing == ')')
    for (const auto& [slip, meant] : kSlips)
      if (root == slip) return {std::string(text.substr(0, end + 1)), "$(" + std::string(meant) + rest + ")"};
  // `$params.x` may be a shell's variable before a dot, but not when there is such a param.
  if (!bracket && !brace && root == "params" && scope.contains(std::string_view(rest).substr(1)))
    return {std::string(text.substr(0, end)), "$(" + std::string(word) + ")"};
  return {};
}

}  // namespace

void check_slips(std::string_view text, Position at, const ParamScope& scope, Reporter& reporter) {
  std::set<std::string> seen;  // one warning for each, wherever else it stands in this text
  for (size_t dollar = text.find('$'); dollar != std::string_view::npos;
       dollar = text.find('$', dollar + 1)) {
    if (dollar > 0 && text[dollar - 1] == '$') continue;  // escaped
    const Slip slip = slip_at(text.substr(dollar), scope);
    if (!slip.meant.empty() && seen.insert(slip.written).second)
      reporter.warn(reporter.find_text(at, slip.written),
                    "\"" + slip.written + "\" is no variable, and stays as it is",
                    "did you mean `" + slip.meant + "`?");
  }
  if (!may_have_variables(text)) return;
  for (const Variable& variable : find_variables(text)) {
    const auto& path = variable.reference.path;
    const std::string written(text.substr(variable.begin, variable.end - variable.begin));
    const bool workspace = path[0] == "workspaces" && path.size() == 2,
               result = path[0] == "results" && path.size() == 2;
    if (!workspace && !result) continue;
    reporter.warn(reporter.find_text(at, written), "\"" + written + "\" is no variable, and stays as it is",
                  "did you mean `$(" + path[0] + "." + path[1] + ".path)`?");
  }
}

}  // namespace kiln::dag
