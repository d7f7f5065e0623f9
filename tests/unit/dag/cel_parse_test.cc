#include "tests/unit/dag/cel_support.h"

namespace kiln::cel::test {
namespace {

TEST(CelParse, ReadsEveryNumberLiteral) {
  expect({{"0", "0"},
          {"007", "7"},
          {"0x1F", "31"},
          {"0xff", "255"},
          {"-1", "-1"},
          {"- 1", "-1"},
          {"9223372036854775807", "9223372036854775807"},
          {"-9223372036854775808", "-9223372036854775808"},
          {"0x7fffffffffffffff", "9223372036854775807"},
          {"-0x8000000000000000", "-9223372036854775808"},
          {"1u", "1u"},
          {"1U", "1u"},
          {"0xFFu", "255u"},
          {"18446744073709551615u", "18446744073709551615u"},
          {"1.5", "1.5"},
          {".5", "0.5"},
          {"1e3", "1000.0"},
          {"1E+3", "1000.0"},
          {"25e-1", "2.5"},
          {"-.5e1", "-5.0"},
          {"1.0e400", "error: invalid double literal"},
          {"1e-400", "0.0"},
          {"9223372036854775808", "error: invalid int literal"},
          {"-9223372036854775809", "error: invalid int literal"},
          {"0x8000000000000000", "error: invalid int literal"},
          {"18446744073709551616u", "error: invalid uint literal"}});
}

TEST(CelParse, ReadsEveryStringLiteral) {
  expect({{"'a'", "\"a\""},
          {"\"a\"", "\"a\""},
          {"''", "\"\""},
          {"''''''", "\"\""},
          {"'''a'b''c'''", "\"a'b''c\""},
          {"\"\"\"a\"b\nc\"\"\"", "\"a\"b\nc\""},
          {"'''a\r\nb\rc'''", "\"a\nb\nc\""},
          {"r'''a\r\nb'''", "\"a\nb\""},
          {R"(r'a\n\')", R"("a\n\")"},
          {R"(R"\d+")", R"("\d+")"},
          {R"('\a\b\f\n\r\t\v')", "\"\a\b\f\n\r\t\v\""},
          {R"('\\\'\"\`\?')", "\"\\'\"`?\""},
          {R"('\x41\X42')", "\"AB\""},
          {R"('\101\060')", "\"A0\""},
          {R"('\u00e9')", "\"\u00e9\""},
          {R"('\U0001F431')", "\"\U0001F431\""},
          {R"('\377')", "\"\u00ff\""},
          {R"('\xff')", "\"\u00ff\""},
          {R"('\ud800')", "error: invalid unicode code point"},
          {R"('\U00110000')", "error: invalid unicode code point"},
          {R"('\q')", "error: unable to unescape string"},
          {R"('\x4')", "error: unable to unescape string"},
          {R"('\400')", "error: unable to unescape string"},
          {R"('\18')", "error: unable to unescape string"}});
}

TEST(CelParse, ReadsEveryBytesLiteral) {
  expect({{"b'abc'", "b\"abc\""},
          {"B\"abc\"", "b\"abc\""},
          {"b'''a'b'''", "b\"a'b\""},
          {R"(b'\xff\000\377')", R"(b"\xff\x00\xff")"},
          {R"(br'\xff')", R"(b"\xff")"},
          {"b'\u00e9'", R"(b"\xc3\xa9")"},
          {R"(b'\u00e9')", "error: unable to unescape string"}});
  EXPECT_EQ(run(R"(size(br'\xff'))"), "4");
}

TEST(CelParse, SkipsCommentsAndWhiteSpace) {
  expect({{" \t\r\n\f1", "1"},
          {"1 // one\n + // two\n 2", "3"},
          {"// only\n1", "1"},
          {"1 // at the end", "1"},
          {"'a // b'", "\"a // b\""}});
}

TEST(CelParse, BindsOperatorsAsTheGrammarSays) {
  expect({{"1 + 2 * 3", "7"},
          {"(1 + 2) * 3", "9"},
          {"10 - 3 - 2", "5"},
          {"100 / 10 / 2", "5"},
          {"7 % 4 * 2", "6"},
          {"2 * 7 % 4", "2"},
          {"1 + 2 < 2 * 2", "true"},
          {"1 < 2 == true", "true"},
          {"true || false && false", "true"},
          {"(true || false) && false", "false"},
          {"false == false && false", "false"},
          {"!true || true", "true"},
          {"!(true || true)", "false"},
          {"-2 * -3", "6"},
          {"- -2", "2"},
          {"--2", "2"},
          {"---2", "-2"},
          {"!!true", "true"},
          {"!!!true", "false"},
          {"-(1 + 2)", "-3"},
          {"-[1, 2][1]", "-2"},
          {"true ? 1 : false ? 2 : 3", "1"},
          {"false ? 1 : false ? 2 : 3", "3"},
          {"true ? false ? 1 : 2 : 3",
           "error: Syntax error: mismatched input '?' expecting ':' between the two "
           "results of '?'"},
          {"false || true ? 1 : 2", "1"},
          {"1 in [1] == true", "true"},
          {"2 in [1, 2] && true", "true"},
          {"{'a': [1, 2]}.a[1] + 1", "3"},
          {"[[1, 2], [3]][0][1]", "2"},
          {"[1, 2,]", "[1, 2]"},
          {"{'a': 1,}", "{\"a\": 1}"},
          {"[]", "[]"},
          {"{}", "{}"}});
}

TEST(CelParse, LetsFieldsBeCalledAsTheyLike) {
  expect({{"{'for': 1}.for", "1"},
          {"{'int': 1}.int", "1"},
          {"{'a-b/c.d': 1}.`a-b/c.d`", "1"},
          {"has({'package': 1}.package)", "true"},
          {"{'size': 7}.size", "7"}});
}

TEST(CelParse, RefusesReservedWordsAsNames) {
  for (const std::string word :
       {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop",
        "package", "namespace", "return", "var", "void", "while"}) {
    EXPECT_EQ(run(word), "error: reserved identifier: " + word);
    EXPECT_EQ(run(word + "(1)"), "error: reserved identifier: " + word);
  }
}

TEST(CelParse, SaysWhatItExpectedAndWhere) {
  EXPECT_EQ(types(""), "1:1: Syntax error: mismatched input '<EOF>' expecting an expression");
  EXPECT_EQ(types("1 +"), "1:4: Syntax error: mismatched input '<EOF>' expecting an expression");
  EXPECT_EQ(types("1 2"), "1:3: Syntax error: mismatched input '2' expecting the end of the expression");
  EXPECT_EQ(types("(1"), "1:3: Syntax error: mismatched input '<EOF>' expecting ')' to close the '('");
  EXPECT_EQ(types("[1, 2"),
            "1:6: Syntax error: mismatched input '<EOF>' expecting ',' between items of a list");
  EXPECT_EQ(types("{1 2}"),
            "1:4: Syntax error: mismatched input '2' expecting ':' between a key and its value");
  EXPECT_EQ(types("f(1,)"), "1:5: Syntax error: mismatched input ')' expecting an argument");
  EXPECT_EQ(types("a ==\n  'b\n"), "2:3: Syntax error: a string without its closing '");
  EXPECT_EQ(types("a = b"), "1:3: Syntax error: token recognition error at: '='");
  EXPECT_EQ(types("a & b"), "1:3: Syntax error: token recognition error at: '&'");
  EXPECT_EQ(types("a.1"), "1:2: Syntax error: mismatched input '.1' expecting the end of the expression");
  EXPECT_EQ(types("a.in"), "1:3: Syntax error: mismatched input 'in' expecting a field name");
  EXPECT_EQ(types("123abc"), "1:4: Syntax error: mismatched input 'abc' expecting the end of the expression");
  EXPECT_EQ(types("[,]"), "1:2: Syntax error: mismatched input ',' expecting an expression");
}

TEST(CelParse, CollectsMistakesThatLeaveTheStructureClear) {
  EXPECT_EQ(types("for + 99999999999999999999"), "1:1: reserved identifier: for\n1:7: invalid int literal");
}

TEST(CelParse, RefusesWhatIsNotSupported) {
  expect(
      {{"Foo{a: 1}", "error: construction of messages is not supported: 'Foo{…}'"},
       {"google.protobuf.Int64Value{value: 1}",
        "error: construction of messages is not supported: 'google.protobuf.Int64Value{…}'"},
       {".a.B{}", "error: construction of messages is not supported: 'a.B{…}'"},
       {"Foo{a 1}", "error: Syntax error: mismatched input '1' expecting ':' between a field and its value"},
       {"a.?b", "error: unsupported syntax '.?'"},
       {"a[?0]", "error: unsupported syntax '[?'"},
       {"[?a]", "error: unsupported syntax '?'"},
       {"{?'a': b}", "error: unsupported syntax '?'"}});
}

TEST(CelParse, RefusesMacrosThatAreMisused) {
  expect({{"has(a)", "error: invalid argument to has() macro"},
          {"has(a[0])", "error: invalid argument to has() macro"},
          {"[1].all(1, true)", "error: argument must be a simple name"},
          {"[1].all(a.b, true)", "error: argument must be a simple name"},
          {"[1].all(.a, true)", "error: argument must be a simple name"},
          {"[1].map(__result__, 1)", "error: iteration variable overwrites accumulator variable"}});
}

TEST(CelParse, RefusesHostileTexts) {
  const auto nested = [](size_t depth) { return std::string(depth, '(') + "1" + std::string(depth, ')'); };
  EXPECT_EQ(run(nested(240)), "1");
  EXPECT_EQ(run(nested(251)), "error: expression is nested more than 250 levels deep");
  EXPECT_TRUE(run(std::string(50'000, '[')).starts_with("error: "));
  EXPECT_TRUE(run(std::string(50'000, '!') + "true").starts_with("true"));
  std::string selects = "a";
  for (int i = 0; i < 300; ++i) selects += ".b";
  EXPECT_EQ(run(selects), "error: expression is nested more than 250 levels deep");
  EXPECT_EQ(run(std::string(100'001, ' ')), "error: expression has 100001 bytes, the limit is 100000");
  EXPECT_EQ(run("'\xff'"), "error: expression is not valid UTF-8");
  EXPECT_EQ(run("'\xed\xa0\x80'"), "error: expression is not valid UTF-8");
  EXPECT_EQ(run(std::string_view("1\0", 2)), "error: Syntax error: token recognition error at: '\\x00'");
}

TEST(CelParse, ChainsOfOperatorsMayBeLong) {
  std::string sum = "0";
  std::string all = "true";
  for (int i = 0; i < 5000; ++i) {
    sum += " + 1";
    all += " && true";
  }
  EXPECT_EQ(run(sum), "5000");
  EXPECT_EQ(run(all), "true");
  EXPECT_EQ(types(sum), "int");
  EXPECT_EQ(types(all), "bool");
}

}  // namespace
}  // namespace kiln::cel::test
