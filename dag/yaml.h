#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"

// YAML (and so JSON) as a tree of nodes that know where they stand in the file. The only part of Kiln that
// sees yaml-cpp.
namespace kiln::dag {

struct Node;

struct Entry {
  std::string key;
  Position key_at;
  const Node* value = nullptr;
};

// One node. Aliases are shared, not copied, so walking a document visits an anchored node once per alias;
// parse_yaml bounds how often that can be.
struct Node {
  enum class Kind { Null, Scalar, Sequence, Mapping };
  Kind kind = Kind::Null;
  bool plain = false;  // a scalar without quotes: may be a number, a boolean
  Position at;
  std::string scalar;
  std::vector<const Node*> items;
  std::vector<Entry> entries;  // in the order of the file; merge keys (`<<`) already expanded
};

// What YAML 1.1, as Kubernetes reads it, makes of a scalar.
enum class ScalarType { String, Number, Boolean };
ScalarType scalar_type(const Node& node);

// The documents of one file. Nodes live as long as this does.
struct YamlFile {
  std::deque<Node> nodes;
  std::vector<const Node*> documents;  // empty documents are left out
};

struct YamlLimits {
  size_t bytes = 16u << 20;        // of the file
  size_t scalar_bytes = 1u << 20;  // of one scalar; Kubernetes stores no object larger than 1.5 MB
  size_t nodes = 1'000'000;        // written out in the file; 10,000 tasks are about 150,000
  size_t depth = 100;              // of nesting
  // Of `[ ] { } ,`, and half as much of quotes, anchors and tags, in what the parser has to hold whole: an
  // outermost `[…]` or `{…}` that might be a key. 10,000 tasks in JSON are about 570,000.
  size_t flow_marks = 800'000;
  size_t aliased_nodes = 1'000'000;  // nodes reached through aliases: stops "billion laughs"
};

// Never throws for what the text holds: malformed YAML, invalid UTF-8, NUL bytes, recursive aliases and
// whatever passes a limit are Diagnostics, and the documents before the mistake are still returned.
YamlFile parse_yaml(std::string_view file, std::string_view text, Diagnostics& diagnostics,
                    const YamlLimits& limits = {});

}  // namespace kiln::dag
