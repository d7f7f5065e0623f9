// What a stranger may write instead of YAML: each is a diagnostic or a right parse, never a crash or a hang.
#include <gtest/gtest.h>

#include "dag/documents.h"
#include "dag/yaml.h"

namespace kiln::dag {
namespace {

std::string repeated(std::string_view piece, size_t times) {
  std::string out;
  out.reserve(piece.size() * times);
  for (; times > 0; --times) out += piece;
  return out;
}

Diagnostics errors_of(const std::string& text) {
  Diagnostics diagnostics;
  parse_yaml("f.yaml", text, diagnostics);
  return diagnostics;
}

std::string first_error(const std::string& text) {
  const Diagnostics found = errors_of(text);
  return found.empty() ? "" : found.front().message;
}

// The tree on one line: scalars quoted unless plain, `~` for null.
std::string shown(const Node& node) {
  std::string out;
  switch (node.kind) {
    case Node::Kind::Null:
      return "~";
    case Node::Kind::Scalar:
      return node.plain ? node.scalar : "'" + node.scalar + "'";
    case Node::Kind::Sequence:
      for (const Node* item : node.items) out += (out.empty() ? "" : ",") + shown(*item);
      return "[" + out + "]";
    case Node::Kind::Mapping:
      for (const Entry& entry : node.entries)
        out += (out.empty() ? "" : ",") + entry.key + ":" + shown(*entry.value);
      return "{" + out + "}";
  }
  return out;
}

std::string tree(const std::string& text) {
  Diagnostics diagnostics;
  const YamlFile file = parse_yaml("f.yaml", text, diagnostics);
  if (!diagnostics.empty()) return "error: " + diagnostics.front().message;
  std::string out;
  for (const Node* document : file.documents) out += (out.empty() ? "" : "|") + shown(*document);
  return out;
}

// a0 is `leaf`; each of the thirty after it names the one before it ten times, in the form given.
std::string laughs(const std::string& leaf, const std::string& open, const std::string& each,
                   const std::string& close) {
  std::string text = "a0: &a0 " + leaf + "\n";
  for (int i = 1; i < 30; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " " + open;
    for (int k = 0; k < 10; ++k)
      text += (k ? ", " : "") + (each.empty() ? "" : each + std::to_string(k) + ": ") + "*a" +
              std::to_string(i - 1);
    text += close + "\n";
  }
  return text;
}

TEST(HostileYaml, BillionLaughsOfEveryShape) {
  for (const std::string& text : {laughs("[x, x]", "[", "", "]"), laughs("{k: x}", "{", "k", "}"),
                                  laughs("{k: x}", "{<<: [", "", "]}")})
    EXPECT_EQ(first_error(text), "aliases expand to more than 1000000 nodes") << text.substr(0, 200);
  std::string wide = "base: &b {";
  for (int i = 0; i < 2'000; ++i) wide += "k" + std::to_string(i) + ": v, ";
  wide += "}\n";
  for (int i = 0; i < 1'000; ++i) wide += "m" + std::to_string(i) + ": {<<: *b}\n";
  EXPECT_EQ(first_error(wide), "aliases expand to more than 1000000 nodes") << "by merge keys";
}

TEST(HostileYaml, LargeValues) {
  const std::string ten_megabytes(10u << 20, 'x');
  EXPECT_EQ(first_error("a: " + ten_megabytes), "a single value of 10485760 bytes");
  EXPECT_EQ(first_error("a: \"" + ten_megabytes + "\""), "a single value of 10485760 bytes");
  EXPECT_EQ(first_error("a: |\n  " + ten_megabytes), "a single value of 10485760 bytes");
  EXPECT_EQ(first_error(std::string(17u << 20, ' ')), "the file has 17825792 bytes");
  EXPECT_EQ(first_error("a: " + std::string(1'000'000, 'x')), "");
}

TEST(HostileYaml, DeepNesting) {
  for (const char* piece : {"[", "{a: ", "- ", "? ", "{? ", "[? ["})
    EXPECT_EQ(first_error(repeated(piece, 10'000)), "nested more than 100 levels deep") << piece;
  std::string block;
  for (size_t i = 0; i < 3'000; ++i) block += std::string(i, ' ') + "a:\n";
  EXPECT_EQ(first_error(block), "nested more than 100 levels deep");
  EXPECT_EQ(first_error(repeated("[", 99) + repeated("]", 99)), "");
}

// The parser holds a flow collection that might be a key whole: a few hundred bytes for each mark.
TEST(HostileYaml, HugeCollections) {
  for (const char* piece : {"x,", "[],", "a: b,", ","})
    EXPECT_EQ(first_error("[" + repeated(piece, 1'000'000) + "]"),
              "too many items in one `[…]` or `{…}`, or on one line, after this")
        << piece;
  EXPECT_EQ(first_error("{" + repeated("\"a\": 1, ", 1'000'000) + "}").substr(0, 14), "too many items");
  EXPECT_EQ(first_error(std::string(1'000'000, '[')),
            "too many items in one `[…]` or `{…}`, or on one line, after this");
  EXPECT_EQ(first_error(std::string(4'000'000, '"')).substr(0, 14), "too many items");
  EXPECT_EQ(first_error(repeated("- x\n", 1'000'001)), "more than 1000000 values in one file");
  EXPECT_EQ(first_error("[" + repeated("x,", 300'000) + "]"), "");
}

TEST(HostileYaml, AMillionDocuments) {
  EXPECT_EQ(tree(repeated("---\n", 1'000'000)), "");
  EXPECT_EQ(tree(repeated("...\n", 100'000)), "");
  Documents documents;
  Diagnostics diagnostics;
  load(documents, "f.yaml", repeated("--- x\n", 50'000), diagnostics);
  EXPECT_LT(diagnostics.size(), 20'000u) << "nobody reads a million";
  EXPECT_EQ(diagnostics.back().message, "more than 10000 problems");
}

TEST(HostileYaml, RepeatedFieldsAreSaidUpToAThousandTimes) {
  const Diagnostics found = errors_of(repeated("k: v\n", 100'000));
  ASSERT_EQ(found.size(), 1'001u);
  EXPECT_EQ(found.back().message, "more than 1000 fields are given twice");
  EXPECT_LT(errors_of(repeated(std::string(1'000, 'k') + ": v\n", 2)).at(0).message.size(), 200u);
}

TEST(HostileYaml, BytesThatAreNoText) {
  EXPECT_EQ(first_error(std::string("\0", 1)), "the file holds a NUL byte");
  EXPECT_EQ(errors_of(std::string("a: b\nc: \0d\n", 11)).at(0).at, (Position{2, 4}));
  const std::string kUtf8 = "the file is not valid UTF-8";
  for (const char* bad : {"\x80", "\xBF", "\xC0\xAF", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x80\xAF", "\xE2\x82",
                          "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\xAF", "\xF0\x9F\x98",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF8\x88\x80\x80\x80", "\xFE", "\xFF"}) {
    const Diagnostics found = errors_of(std::string("k: v\nx: ab") + bad);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].message, kUtf8);
    EXPECT_EQ(found[0].at, (Position{2, 6}));
  }
  EXPECT_EQ(first_error(std::string("\xFE\xFF\0a\0:", 6)), kUtf8) << "UTF-16, big end first";
  EXPECT_EQ(first_error(std::string("\xFF\xFE"
                                    "a\0:\0",
                                    6)),
            kUtf8);
  EXPECT_EQ(tree("a: \xF0\x9F\x98\x80 \xE2\x82\xAC"), "{a:\xF0\x9F\x98\x80 \xE2\x82\xAC}");
}

TEST(HostileYaml, PlacesAreRightWhateverTheLinesEndWith) {
  Diagnostics diagnostics;
  const YamlFile file = parse_yaml("f",
                                   "\xEF\xBB\xBF"
                                   "a: 1\r\nb:\r\n  - x\r\n  - {c: d}\r\n",
                                   diagnostics);
  ASSERT_TRUE(diagnostics.empty());
  const Node& root = *file.documents.at(0);
  EXPECT_EQ(root.entries[0].value->at, (Position{1, 4})) << "the mark is no column";
  EXPECT_EQ(root.entries[1].value->items[1]->entries[0].value->at, (Position{4, 9}));
  EXPECT_EQ(errors_of("\xEF\xBB\xBF"
                      "a: 1\r\na: 2\r\n")
                .at(0)
                .at,
            (Position{2, 1}));
}

TEST(HostileYaml, Tabs) {
  EXPECT_NE(first_error("a:\n\tb: c\n"), "");
  EXPECT_EQ(tree("a:\tb\n"), "{a:b}");
  EXPECT_EQ(tree("a: |\n  x\n  \ty\n"), "{a:'x\n\ty\n'}");
}

TEST(HostileYaml, UnclosedThings) {
  for (const char* text :
       {"a: \"x\nb: y\n", "a: 'x\n", "a: [b\n", "a: {b: c\n", "a: \"\\", "{", "[", "a: [b}\n"})
    EXPECT_NE(first_error(text), "") << text;
  const Diagnostics found = errors_of("a: b\nc: &x \"d\\\"\ne: f\n");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].message, "not valid YAML: the quote that opens here is not closed");
  EXPECT_EQ(found[0].at, (Position{2, 4}));
  for (const char* text :
       {"a: \"x\"\n", "a: 'x''y'\n", "a: ''\n", "a: \"\\\\\"\n", "'a': \"b\nc\"\n", "a: x\"\n"})
    EXPECT_EQ(first_error(text), "") << text;
}

TEST(HostileYaml, AnchorsAndAliases) {
  EXPECT_EQ(tree("[&a x, *a, &a y, *a]"), "[x,x,y,y]") << "the last one before it counts";
  EXPECT_EQ(first_error("a: &a {b: *a}"), "this alias refers to the node that contains it");
  EXPECT_EQ(first_error("&a [&b [*a]]"), "this alias refers to the node that contains it");
  EXPECT_NE(first_error("--- &a x\n--- *a\n"), "") << "another document's anchor";
  EXPECT_NE(first_error("*"), "");
}

TEST(HostileYaml, KeysThatAreNoText) {
  for (const char* text : {"? [a]\n: b\n", "? {a: b}\n: c\n", "{[a]: b}", "? \n: b\n", "? &a [x]\n: *a\n"})
    EXPECT_EQ(first_error(text), "a field name must be plain text") << text;
  EXPECT_EQ(tree("1: a\ntrue: b\n'': c\n"), "{1:a,true:b,:c}");
}

TEST(HostileYaml, MergeKeys) {
  for (const char* text :
       {"a: {<<: x}", "a: {<<: [x]}", "a: {<<: [[{}]]}", "<<: \n", "b: &b [1]\na: {<<: *b}\n"})
    EXPECT_EQ(first_error(text), "`<<` takes a mapping or a list of mappings") << text;
  EXPECT_EQ(tree("{<<: {a: 1}, <<: {a: 2, b: 3}}"), "{a:1,b:3}") << "the first has the say";
  EXPECT_EQ(tree("{<<: []}"), "{}");
}

TEST(HostileYaml, TagsAndDirectives) {
  EXPECT_EQ(tree("!!binary aGk="), "'aGk='") << "Kubernetes reads JSON: a tag makes nothing else of a text";
  EXPECT_EQ(tree("!!python/object:os.system {a: b}"), "{a:b}");
  EXPECT_EQ(tree("!!str 5"), "'5'");
  EXPECT_EQ(tree("%YAML 1.1\n---\na: b\n"), "{a:b}");
  EXPECT_EQ(tree("%TAG ! tag:example.com,2000:\n---\n!x y\n"), "'y'");
  EXPECT_NE(first_error("%YAML 2.0\n---\na: b\n"), "");
  EXPECT_NE(first_error("%YAML\n---\n"), "");
  EXPECT_NE(first_error("!<"), "");
}

TEST(HostileYaml, NumbersAndBooleans) {
  const auto types = [](const std::string& text) {
    Diagnostics diagnostics;
    const YamlFile file = parse_yaml("f", text, diagnostics);
    std::string out;
    for (const Node* item : file.documents.at(0)->items)
      out += item->kind == Node::Kind::Null              ? '~'
             : scalar_type(*item) == ScalarType::Number  ? 'n'
             : scalar_type(*item) == ScalarType::Boolean ? 'b'
                                                         : 's';
    return out;
  };
  EXPECT_EQ(types("[0, -1, +1, 1.5, .5, 1e3, 1E+3, 0x1f, .inf, -.inf, .nan]"), "nnnnnnnnnnn");
  EXPECT_EQ(types("[1.2.3, 1e, 0x, e3, '1', \"1\", 1 2, 10:30x, v1, --1]"), "ssssssssss");
  EXPECT_EQ(types("[true, True, FALSE, yes, No, on, OFF, 'true', tRUE, truee]"), "bbbbbbbsss");
  EXPECT_EQ(types("[~, null, Null, NULL, '', nUll]"), "~~~~ss");
}

}  // namespace
}  // namespace kiln::dag
