#include "dag/yaml.h"

#include <gtest/gtest.h>

namespace kiln::dag {
namespace {

Diagnostics errors_of(const std::string& text, const YamlLimits& limits = {}) {
  Diagnostics diagnostics;
  parse_yaml("f.yaml", text, diagnostics, limits);
  return diagnostics;
}

std::string first_error(const std::string& text) {
  const Diagnostics found = errors_of(text);
  return found.empty() ? "" : found.front().message;
}

TEST(Yaml, EveryNodeKnowsItsPlace) {
  Diagnostics diagnostics;
  const YamlFile file = parse_yaml("f", "a: 1\nb:\n  - x\n  - {c: d}\n", diagnostics);
  ASSERT_EQ(file.documents.size(), 1u);
  const Node& root = *file.documents[0];
  EXPECT_EQ(root.entries[0].key_at, (Position{1, 1}));
  EXPECT_EQ(root.entries[0].value->at, (Position{1, 4}));
  EXPECT_EQ(root.entries[1].value->items[1]->entries[0].value->at, (Position{4, 9}));
}

TEST(Yaml, ReadsManyDocumentsAndLeavesOutEmptyOnes) {
  Diagnostics diagnostics;
  EXPECT_EQ(parse_yaml("f", "---\n---\na: 1\n---\n# nothing\n---\nb: 2\n", diagnostics).documents.size(), 2u);
  EXPECT_TRUE(diagnostics.empty());
}

TEST(Yaml, CopesWithByteOrderMarkAndWindowsLines) {
  Diagnostics diagnostics;
  const YamlFile file = parse_yaml("f",
                                   "\xEF\xBB\xBF"
                                   "a: 1\r\nb: |\r\n  x\r\n  y\r\n",
                                   diagnostics);
  ASSERT_EQ(file.documents.size(), 1u);
  EXPECT_EQ(file.documents[0]->entries[1].key_at.line, 2);
  EXPECT_EQ(file.documents[0]->entries[1].value->scalar, "x\ny\n");
}

TEST(Yaml, MergeKeysAndAliases) {
  Diagnostics diagnostics;
  const YamlFile file = parse_yaml("f", "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n", diagnostics);
  const Node& use = *file.documents[0]->entries[1].value;
  ASSERT_EQ(use.entries.size(), 2u);
  EXPECT_EQ(use.entries[0].value->scalar, "3");
  EXPECT_EQ(use.entries[1].key, "x");
}

TEST(Yaml, TellsNumbersAndBooleansFromStrings) {
  Diagnostics diagnostics;
  const YamlFile file =
      parse_yaml("f", "[1, -2.5e3, 0x1F, true, off, '1', \"yes\", 1.2.3, v1, ., -, 1e, 8080]", diagnostics);
  std::string types;
  for (const Node* item : file.documents[0]->items)
    types += scalar_type(*item) == ScalarType::Number    ? 'n'
             : scalar_type(*item) == ScalarType::Boolean ? 'b'
                                                         : 's';
  EXPECT_EQ(types, "nnnbbsssssssn");
}

TEST(Yaml, BillionLaughsIsADiagnostic) {
  std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string below = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + below;
    for (int k = 0; k < 9; ++k) text += "," + below;
    text += "]\n";
  }
  EXPECT_NE(first_error(text).find("aliases expand"), std::string::npos);
}

TEST(Yaml, HostileTextIsADiagnostic) {
  EXPECT_NE(first_error("a: &x [*x]"), "");
  EXPECT_NE(first_error("a: *unknown"), "");
  EXPECT_NE(first_error(std::string(10'000, '[')), "");
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += "- ";
  EXPECT_NE(first_error(deep), "");
  EXPECT_EQ(first_error(std::string("a: \0b", 5)), "the file holds a NUL byte");
  EXPECT_EQ(first_error("a: \xC3\x28"), "the file is not valid UTF-8");
  EXPECT_EQ(first_error("\xFF\xFE"
                        "a\0:\0"),
            "the file is not valid UTF-8");
  EXPECT_NE(first_error("a: " + std::string(2u << 20, 'x')).find("a single value of"), std::string::npos);
  EXPECT_NE(first_error("a:\n\t- b\n"), "");
  EXPECT_NE(first_error("{a: 1, a: 2}").find("given twice"), std::string::npos);
  EXPECT_NE(first_error("? [x]\n: y\n"), "");
  YamlLimits small;
  small.bytes = 3;
  EXPECT_EQ(errors_of("a: b", small).size(), 1u);
}

// yaml-cpp would read empty documents for ever (found by fuzzing).
TEST(Yaml, ACharacterThatStartsNoDocumentIsADiagnostic) {
  EXPECT_EQ(first_error(",,,#"), "no document can start with this character");
  EXPECT_NE(first_error("a: b\n,x\n"), "");
  EXPECT_EQ(first_error("--- a\n--- b\n---\n---\n"), "");
}

TEST(Yaml, KeepsTheDocumentsBeforeAMistake) {
  Diagnostics diagnostics;
  const YamlFile file = parse_yaml("f", "a: 1\n---\nb: [\n", diagnostics);
  EXPECT_EQ(file.documents.size(), 1u);
  EXPECT_TRUE(has_errors(diagnostics));
}

}  // namespace
}  // namespace kiln::dag
