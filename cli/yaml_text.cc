#include "cli/yaml_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace kiln::cli {
namespace {

using nlohmann::json;

// Words that some version of YAML takes for something else than text.
bool is_word_of_yaml(const std::string& text) {
  static constexpr std::string_view kWords[] = {"y",  "n",   "yes",  "no",   "true", "false",
                                                "on", "off", "null", "none", "nan",  "inf"};
  return std::ranges::any_of(kWords, [&](std::string_view word) { return iequals(text, word); });
}

bool is_plain(const std::string& text) {
  if (text.empty() || is_word_of_yaml(text)) return false;
  const auto ordinary = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '/' || c == '-';
  };
  const auto first = static_cast<unsigned char>(text.front());
  return (std::isalpha(first) || first == '/') && std::ranges::all_of(text, ordinary);
}

// JSON's quoted form is YAML's, too.
std::string quoted(const std::string& text) {
  return replace_all(json(text).dump(-1, ' ', false, json::error_handler_t::replace), "\x7f", "\\u007f");
}

// Whether a block shows it as it is: nothing but printable lines, and a first line that sets the indentation.
bool is_block(const std::string& text) {
  const auto printable = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\n' || (byte >= 0x20 && byte < 0x7f);
  };
  return text.find('\n') != std::string::npos && std::ranges::all_of(text, printable) &&
         text.front() != ' ' && text.front() != '\n' && text.find(" \n") == std::string::npos &&
         !text.ends_with(' ');
}

std::string block(const std::string& text, const std::string& indent) {
  const bool whole = text.ends_with('\n');
  std::string out = !whole ? "|-\n" : text.ends_with("\n\n") ? "|+\n" : "|\n";
  for (const std::string& line : split(whole ? text.substr(0, text.size() - 1) : text, '\n'))
    out += line.empty() ? "\n" : indent + line + "\n";
  return out;
}

class Writer {
 public:
  // A value that begins on its key's line if it is short, else below it.
  void value(const json& node, const std::string& indent) {
    if (node.is_structured() && !node.empty()) {
      out += "\n";
      return structured(node, indent);
    }
    out += " ";
    scalar(node, indent);
  }

  void structured(const json& node, const std::string& indent) {
    if (node.is_array()) {
      for (const json& item : node) {
        out += indent + "-";
        if (item.is_object() && !item.empty()) {  // its first key stands beside the dash
          const size_t begin = out.size();
          structured(item, indent + "  ");
          out.replace(begin, indent.size() + 2, " ");
        } else {
          value(item, indent + "  ");
        }
      }
      return;
    }
    for (const auto& [key, item] : node.items()) {
      out += indent + (is_plain(key) ? key : quoted(key)) + ":";
      // Lists are not indented below their key, as Kubernetes' own tools write them.
      value(item, item.is_array() ? indent : indent + "  ");
    }
  }

  void scalar(const json& node, const std::string& indent) {
    if (!node.is_string()) {
      out += node.dump() + "\n";
      return;
    }
    const auto& text = node.get_ref<const std::string&>();
    out += is_plain(text) ? text + "\n" : is_block(text) ? block(text, indent) : quoted(text) + "\n";
  }

  std::string out;
};

}  // namespace

std::string to_yaml(const json& document) {
  Writer writer;
  if (document.is_structured() && !document.empty())
    writer.structured(document, "");
  else
    writer.scalar(document, "");
  return std::move(writer.out);
}

}  // namespace kiln::cli
