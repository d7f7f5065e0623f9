#include "dag/yaml.h"

#include <algorithm>
#include <istream>
#include <limits>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "base/lines.h"
#include "base/utf8.h"
#include "dag/windowed_text.h"
#include "dag/yaml_mistakes.h"

namespace kiln::dag {
namespace {

// Thrown through yaml-cpp to end the parse after a Diagnostic was recorded.
struct Abort {};

constexpr size_t kMostDuplicates = 1'000;
constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max() / 4;

class Builder final : public YAML::EventHandler {
 public:
  Builder(YamlFile& file, std::string_view name, Diagnostics& diagnostics, const YamlLimits& limits)
      : file_(file), name_(name), diagnostics_(diagnostics), limits_(limits) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    // yaml-cpp 0.7 finds a document at a token that none can start with (",", say), leaves the token where
    // it is, and finds the next document there, for ever.
    if (mark.pos == document_at_) fail(position(mark), "no document can start with this character");
    document_at_ = mark.pos;
    anchors_.clear();
    weights_.clear();
    root_ = nullptr;
  }
  void OnDocumentEnd() override {
    if (root_ != nullptr && root_->kind != Node::Kind::Null) file_.documents.push_back(root_);
    root_ = nullptr;
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (stack_.empty()) return;  // a document of nothing: there may be a million
    add(make(Node::Kind::Null, mark, anchor), 1);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto target = anchors_.find(anchor);
    if (target == anchors_.end()) fail(position(mark), "unknown alias");
    if (open_.contains(target->second))
      fail(position(mark), "this alias refers to the node that contains it",
           "YAML can say that, a Kubernetes object cannot");
    const auto weight = weights_.find(target->second);
    const uint64_t nodes = weight == weights_.end() ? 1 : weight->second;
    aliased_ = std::min(kHuge, aliased_ + nodes);
    if (aliased_ > limits_.aliased_nodes)
      fail(position(mark), "aliases expand to more than " + std::to_string(limits_.aliased_nodes) + " nodes",
           "write the repeated part out, or split the file");
    add(target->second, nodes);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (value.size() > limits_.scalar_bytes)
      fail(
          position(mark), "a single value of " + std::to_string(value.size()) + " bytes",
          "values may have " + std::to_string(limits_.scalar_bytes) + " bytes; keep large content in a file");
    Node* node = make(Node::Kind::Scalar, mark, anchor);
    last_scalar_ = at_;
    node->plain = tag == "?";
    node->scalar = value;
    if (node->plain) warn_of_quotes(*node);
    add(node, 1);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(make(Node::Kind::Sequence, mark, anchor), anchor != 0, style == YAML::EmitterStyle::Flow);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(make(Node::Kind::Mapping, mark, anchor), anchor != 0, style == YAML::EmitterStyle::Flow);
  }
  // Where the last thing began that came out of the parser: what it has read beyond that, it holds.
  const size_t& at() const { return at_; }
  Position place() const { return place_; }
  size_t last_scalar() const { return last_scalar_; }

  void OnMapEnd() override {
    Frame& frame = stack_.back();
    expand_merge_keys(frame);
    report_duplicates(*frame.node);
    close();
  }

  // The innermost `[` or `{` that is open; nullptr when there is none.
  const Node* open_bracket() const {
    return stack_.empty() || !stack_.back().flow ? nullptr : stack_.back().node;
  }

 private:
  struct Frame {
    Node* node;
    bool anchored = false;  // an alias may ask for it: whether it is open, and how much it holds
    bool flow = false;      // written with brackets
    bool have_key = false;
    Entry entry;
    uint64_t weight = 1;
    std::vector<const Node*> merges;
  };

  // Quotes that a word processor made are text to YAML.
  void warn_of_quotes(const Node& node) {
    for (const auto& [open, close] : {std::pair{"\u201C", "\u201D"}, std::pair{"\u2018", "\u2019"}})
      if (node.scalar.size() > 5 && node.scalar.starts_with(open) && node.scalar.ends_with(close))
        diagnostics_.push_back({Severity::Warning, std::string(name_), node.at,
                                std::string("the quotes ") + open + close + " are part of this value",
                                "write plain quotes: \"" +
                                    node.scalar.substr(3, std::min<size_t>(60, node.scalar.size() - 6)) +
                                    "\""});
  }

  static Position position(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

  [[noreturn]] void fail(Position at, std::string message, std::string hint = {}) {
    diagnostics_.push_back({Severity::Error, std::string(name_), at, std::move(message), std::move(hint)});
    throw Abort{};
  }

  Node* make(Node::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    at_ = static_cast<size_t>(std::max(mark.pos, 0));
    place_ = position(mark);
    if (file_.nodes.size() >= limits_.nodes)
      fail(place_, "more than " + std::to_string(limits_.nodes) + " values in one file", "split the file");
    Node& node = file_.nodes.emplace_back();
    node.kind = kind;
    node.at = place_;
    if (anchor != 0) anchors_[anchor] = &node;
    return &node;
  }

  void open(Node* node, bool anchored, bool flow) {
    if (stack_.size() >= limits_.depth)
      fail(node->at, "nested more than " + std::to_string(limits_.depth) + " levels deep");
    stack_.push_back({.node = node, .anchored = anchored, .flow = flow});
    if (anchored) open_.insert(node);
  }

  void close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.anchored) {
      open_.erase(frame.node);
      weights_[frame.node] = frame.weight;
    }
    add(frame.node, frame.weight);
  }

  void add(const Node* node, uint64_t weight) {
    if (stack_.empty()) {
      root_ = node;
      return;
    }
    Frame& frame = stack_.back();
    frame.weight = std::min(kHuge, frame.weight + weight);
    if (frame.node->kind == Node::Kind::Sequence) {
      frame.node->items.push_back(node);
    } else if (!frame.have_key) {
      if (node->kind != Node::Kind::Scalar)
        fail(node->at, "a field name must be plain text",
             frame.flow && node->kind == Node::Kind::Mapping ? kTemplate : "");
      frame.entry = {node->scalar, node->at, nullptr};
      frame.have_key = true;
    } else {
      frame.have_key = false;
      if (frame.entry.key == "<<") {
        frame.merges.push_back(node);
      } else {
        frame.entry.value = node;
        frame.node->entries.push_back(std::move(frame.entry));
      }
    }
  }

  void report_duplicates(const Node& node) {
    std::unordered_map<std::string_view, int> seen;
    for (const Entry& entry : node.entries) {
      const auto [first, fresh] = seen.emplace(entry.key, entry.key_at.line);
      if (fresh) continue;
      if (stack_.size() == 1 && (entry.key == "apiVersion" || entry.key == "kind")) {
        diagnostics_.push_back({Severity::Error, std::string(name_), entry.key_at,
                                "a second object begins inside the first", "put a line `---` between them"});
        return;  // all its other fields are given twice too
      }
      if (++duplicates_ > kMostDuplicates)
        fail(entry.key_at, "more than " + std::to_string(kMostDuplicates) + " fields are given twice");
      diagnostics_.push_back({Severity::Error, std::string(name_), entry.key_at,
                              "field `" + shown(entry.key) + "` is given twice",
                              "it is already on line " + std::to_string(first->second)});
    }
  }

  // A key may be as long as any scalar; a message may not.
  static std::string shown(const std::string& key) {
    constexpr size_t kMost = 100;
    return key.size() <= kMost ? key : std::string(prefix_of_code_points(key, kMost)) + "…";
  }

  // YAML's merge key: fields of the mapping named (or of each of a list) that are not given here.
  void expand_merge_keys(Frame& frame) {
    if (frame.merges.empty()) return;
    std::unordered_set<std::string> have;
    for (const Entry& entry : frame.node->entries) have.insert(entry.key);
    const auto merge = [&](const Node* from) {
      if (from->kind != Node::Kind::Mapping) fail(from->at, "`<<` takes a mapping or a list of mappings");
      for (const Entry& entry : from->entries)
        if (have.insert(entry.key).second) frame.node->entries.push_back(entry);
    };
    for (const Node* source : frame.merges) {
      if (source->kind == Node::Kind::Sequence)
        for (const Node* item : source->items) merge(item);
      else
        merge(source);
    }
  }

  YamlFile& file_;
  std::string_view name_;
  Diagnostics& diagnostics_;
  const YamlLimits& limits_;
  std::vector<Frame> stack_;
  std::unordered_map<YAML::anchor_t, const Node*> anchors_;
  std::unordered_map<const Node*, uint64_t>
      weights_;                           // of anchored ones: nodes below, aliases expanded; 1 when absent
  std::unordered_set<const Node*> open_;  // anchored ones
  uint64_t aliased_ = 0;
  size_t duplicates_ = 0;
  size_t at_ = 0, last_scalar_ = 0;
  Position place_;
  int document_at_ = -1;
  const Node* root_ = nullptr;
};

// Offset of the first byte that is NUL or not UTF-8.
std::optional<size_t> first_bad_byte(std::string_view text) {
  const size_t nul = text.find('\0');
  if (const auto bad = find_invalid_utf8(text.substr(0, nul))) return bad;
  return nul == std::string_view::npos ? std::nullopt : std::optional(nul);
}

}  // namespace

YamlFile parse_yaml(std::string_view file, std::string_view text, Diagnostics& diagnostics,
                    const YamlLimits& limits) {
  YamlFile out;
  const auto report = [&](Position at, std::string message, std::string hint) {
    diagnostics.push_back({Severity::Error, std::string(file), at, std::move(message), std::move(hint)});
  };
  if (text.size() > limits.bytes) {
    report({}, "the file has " + std::to_string(text.size()) + " bytes",
           "files up to " + std::to_string(limits.bytes >> 20) + " MiB are read");
    return out;
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (const auto bad = first_bad_byte(text)) {
    const bool nul = text[*bad] == '\0';
    report(Lines(text).position(*bad), nul ? "the file holds a NUL byte" : "the file is not valid UTF-8",
           "is this a YAML file? save it as UTF-8 text");
    return out;
  }
  Builder builder(out, file, diagnostics, limits);
  WindowedText windows(text, builder.at(), limits.flow_marks);
  std::istream stream(&windows);
  const size_t before = diagnostics.size();
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    if (is_open_quote(text, builder.last_scalar()))
      report(Lines(text).position(builder.last_scalar()),
             "not valid YAML: the quote that opens here is not closed", "close it where the value ends");
  } catch (const Abort&) {  // already reported
  } catch (const YAML::DeepRecursion& e) {
    report({e.mark.line + 1, e.mark.column + 1}, "nested too deeply", "");
  } catch (const YAML::Exception& e) {
    if (e.mark.is_null()) {
      report({}, "not valid YAML: " + e.msg, "");
      return out;
    }
    const Lines lines(text);
    if (const size_t conflict = text.find("\n<<<<<<< "); conflict != std::string_view::npos) {
      report(lines.position(conflict + 1), "not valid YAML: a merge conflict is left in the file",
             "keep one side, and take out the lines with <<<<<<<, ======= and >>>>>>>");
      return out;
    }
    Position at{e.mark.line + 1, e.mark.column + 1};
    for (const int line : {at.line, at.line - 1})
      if (const size_t tab = leading_tab(lines.line(line)); tab != std::string_view::npos) {
        report({line, static_cast<int>(tab) + 1}, "not valid YAML: a tab in the indentation",
               "indent with spaces: YAML does not take tabs");
        return out;
      }
    const std::string_view line = lines.line(at.line);
    std::string hint = hint_for(e.msg, line, static_cast<size_t>(e.mark.column));
    if (const Node* open = builder.open_bracket();
        open != nullptr && e.msg.find("flow not found") != std::string::npos) {
      const bool at_end = text.find_last_not_of(" \t\r\n") < lines.offset(at);
      if (hint != kTemplate)
        hint = at_end ? "the bracket that opens here is not closed"
                      : "a `,` is missing before this, or the bracket of line " +
                            std::to_string(open->at.line) + " is not closed";
      if (at_end) at = open->at;
    }
    report(at, "not valid YAML: " + in_words(e.msg), std::move(hint));
  }
  if (windows.stopped()) {  // what was said of the rest was said of half of it
    diagnostics.erase(diagnostics.begin() + static_cast<ptrdiff_t>(before), diagnostics.end());
    report(builder.place(), "too many items in one `[…]` or `{…}`, or on one line, after this",
           "up to about " + std::to_string(limits.flow_marks) + " can be read; split the file");
  }
  return out;
}

}  // namespace kiln::dag
