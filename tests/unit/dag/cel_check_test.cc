#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "dag/cel/json.h"
#include "tests/unit/dag/cel_support.h"

namespace kiln::cel::test {
namespace {

using nlohmann::json;

Environment some() {
  Environment out;
  out.variables = {{"s", Type::string()},
                   {"i", Type::integer()},
                   {"l", Type::list(Type::integer())},
                   {"m", Type::map(Type::string(), Type::integer())},
                   {"d", Type::dyn()},
                   {"a.b", Type::boolean()}};
  return out;
}

void expect_types(const std::vector<Row>& rows, const Environment& environment = some()) {
  for (const Row& row : rows) EXPECT_EQ(types(row.expression, environment), row.want) << row.expression;
}

TEST(CelCheck, InfersTheTypeOfTheResult) {
  expect_types({{"1", "int"},
                {"null", "null"},
                {"b'x'", "bytes"},
                {"1u + 2u", "uint"},
                {"1.0 / 2.0", "double"},
                {"s + 'x'", "string"},
                {"i > 1 ? 'a' : 'b'", "string"},
                {"s == 'a' && i in l", "bool"},
                {"[1, 2]", "list(int)"},
                {"[1, 'a']", "list(dyn)"},
                {"[]", "list(dyn)"},
                {"[[], [1]]", "list(list(int))"},
                {"{'a': 1}", "map(string, int)"},
                {"{'a': 1, 2: 'b'}", "map(dyn, dyn)"},
                {"{}", "map(dyn, dyn)"},
                {"l[0]", "int"},
                {"m['a']", "int"},
                {"m.a", "int"},
                {"d.a.b[0].c", "dyn"},
                {"a.b", "bool"},
                {"has(m.x)", "bool"},
                {"l.map(x, string(x))", "list(string)"},
                {"l.filter(x, x > 1)", "list(int)"},
                {"m.map(k, k)", "list(string)"},
                {"d.map(x, x)", "list(dyn)"},
                {"[].map(x, x)", "list(dyn)"},
                {"l.map(x, [x].map(x, 'a'))", "list(list(string))"},
                {"s.split(',')", "list(string)"},
                {"size(l)", "int"},
                {"type(1)", "type(int)"},
                {"int", "type(int)"},
                {"type(1) == int", "bool"},
                {"timestamp(0) - timestamp(1)", "duration"},
                {"timestamp(0) - duration('1s')", "timestamp"},
                {"timestamp(0).getHours('UTC')", "int"},
                {"dyn(1)", "dyn"},
                {"d + 1", "int"},
                {"d ? 1 : 2", "int"},
                {"d == 1", "bool"},
                {"1 == dyn('a')", "bool"},
                {"timestamp(0) == null", "bool"},
                {"strings.quote(s)", "string"}});
}

TEST(CelCheck, NamesTheOverloadThatIsMissing) {
  expect_types(
      {{"1 + 'a'", "1:3: found no matching overload for '_+_' applied to '(int, string)'"},
       {"1 == 'a'", "1:3: found no matching overload for '_==_' applied to '(int, string)'"},
       {"null == 1", "1:6: found no matching overload for '_==_' applied to '(null, int)'"},
       {"1 < 1.0", "1:3: found no matching overload for '_<_' applied to '(int, double)'"},
       {"!1", "1:1: found no matching overload for '!_' applied to '(int)'"},
       {"-'a'", "1:1: found no matching overload for '-_' applied to '(string)'"},
       {"l['a']", "1:2: found no matching overload for '_[_]' applied to '(list(int), string)'"},
       {"m[1]", "1:2: found no matching overload for '_[_]' applied to '(map(string, int), int)'"},
       {"s in l", "1:3: found no matching overload for '@in' applied to '(string, list(int))'"},
       {"[1] in {1: 2}", "1:5: found no matching overload for '@in' applied to '(list(int), map(int, int))'"},
       {"i ? 1 : 2", "1:3: found no matching overload for '_?_:_' applied to '(int, int, int)'"},
       {"true ? 1 : 'a'", "1:6: found no matching overload for '_?_:_' applied to '(bool, int, string)'"},
       {"size(1)", "1:1: found no matching overload for 'size' applied to '(int)'"},
       {"s.startsWith(1)", "1:3: found no matching overload for 'startsWith' applied to 'string.(int)'"},
       {"s.size(1)", "1:3: found no matching overload for 'size' applied to 'string.(int)'"},
       {"startsWith(s, 'a')",
        "1:1: found no matching overload for 'startsWith' applied to '(string, string)'"}});
}

TEST(CelCheck, FindsEveryProblemAtOnce) {
  expect_types(
      {{"x == 1 && y == 2",
        "1:1: undeclared reference to 'x' (in container '')\n"
        "1:11: undeclared reference to 'y' (in container '')"},
       {"nope(1) || s.nope()",
        "1:1: undeclared reference to 'nope' (in container '')\n"
        "1:14: undeclared reference to 'nope' (in container '')"},
       {"x.y.z", "1:1: undeclared reference to 'x' (in container '')"},
       {"a.c", "1:1: undeclared reference to 'a' (in container '')"},
       {"i && s", "1:1: expected type 'bool' but found 'int'\n1:6: expected type 'bool' but found 'string'"},
       {"s.x", "1:3: type 'string' does not support field selection"},
       {"has(i.x)", "1:1: type 'int' does not support field selection"},
       {"l.all(x, x)", "1:10: expected type 'bool' but found 'int'"},
       {"l.filter(x, 'a')", "1:13: expected type 'bool' but found 'string'"},
       {"i.exists(x, true)",
        "1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"},
       {"l.map(x, x) == [y]", "1:17: undeclared reference to 'y' (in container '')"},
       {"l.map(x, y)[0] + x",
        "1:10: undeclared reference to 'y' (in container '')\n"
        "1:18: undeclared reference to 'x' (in container '')"},
       {"s == 'a' ||\n  i + s == 'b'",
        "2:5: found no matching overload for '_+_' applied to '(int, string)'"},
       {"s.matches('(')", "1:11: invalid matches argument: missing ): ("}});
}

TEST(CelCheck, StopsReportingAtAHundredProblems) {
  std::string text = "x";
  for (int i = 0; i < 500; ++i) text += " || x";
  const std::string found = types(text);
  EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 99);
}

TEST(CelCheck, WantsTheTypeItIsToldTo) {
  Environment environment = some();
  environment.result = Type::boolean();
  expect_types({{"i == 1", "bool"},
                {"d.x", "dyn"},
                {"i", "1:1: expected type 'bool' but found 'int'"},
                {"'true'", "1:1: expected type 'bool' but found 'string'"},
                {"m.map(k, k)", "1:3: expected type 'bool' but found 'list(string)'"}},
               environment);
}

TEST(CelCheck, StaysCheapWhereTypesFeedOnThemselves) {
  std::string grown = "[1]";
  for (int i = 0; i < 100; ++i) grown += ".map(x, {x: x})";
  EXPECT_TRUE(types(grown).starts_with("list(map("));
  std::string listed = "[1]";
  for (int i = 0; i < 200; ++i) listed += ".map(x, [x, x])";
  EXPECT_TRUE(types(listed).starts_with("list(list("));
  std::string tied = "true";
  for (int i = 0; i < 60; ++i)
    tied = "[{}].all(m" + std::to_string(i) + ", " + tied + " && m" + std::to_string(i) + "[{}] == {} && m" +
           std::to_string(i) + " == {m" + std::to_string(i) + ": [m" + std::to_string(i) + "]})";
  EXPECT_FALSE(types(tied).empty());
}

TEST(CelJson, ConvertsBothWays) {
  const json document =
      json::parse(R"({"a": [1, -2, 18446744073709551615, 1.5, true, null, "x"], "o": {"k": {}}, "e": []})");
  const Value value = from_json(document);
  EXPECT_EQ(show(value),
            "{\"a\": [1, -2, 18446744073709551615u, 1.5, true, null, \"x\"], \"e\": [], \"o\": {\"k\": {}}}");
  EXPECT_EQ(to_json(value), document);
}

TEST(CelJson, WritesWhatJsonDoesNotHave) {
  const auto written = [](std::string_view text) {
    Problems problems;
    const auto expression = parse(text, problems);
    return to_json(evaluate(*expression, Variables()).value()).dump();
  };
  EXPECT_EQ(written("[timestamp(0), duration('1.5s')]"), R"(["1970-01-01T00:00:00Z","1.5s"])");
  EXPECT_EQ(written("[b'', b'a', b'ab', b'abc']"), R"(["","YQ==","YWI=","YWJj"])");
  EXPECT_EQ(written("{1: 'a', true: 'b', 2u: 'c'}"), R"({"1":"a","2":"c","true":"b"})");
  EXPECT_EQ(written("[double('nan'), -1.0 / 0.0]"), R"(["NaN","-Infinity"])");
}

TEST(CelJson, RefusesWhatIsTooMuch) {
  json deep;
  for (int i = 0; i < 600; ++i) deep = json::array({std::move(deep)});
  EXPECT_THROW(from_json(deep), Error);
  EXPECT_THROW(from_json(json("\xff")), Error);
  EXPECT_THROW(to_json(Value::type(Value::Kind::Int)), Error);
  Value doubled = Value::integer(1);
  for (int i = 0; i < 60; ++i) doubled = Value::list({doubled, doubled});
  EXPECT_THROW(to_json(doubled), Error);
}

}  // namespace
}  // namespace kiln::cel::test
