#include "tests/unit/dag/cel_support.h"

namespace kiln::cel::test {
namespace {

TEST(CelArithmetic, OfEachNumberType) {
  expect({{"1 + 2", "3"},           {"1 - 2", "-1"},       {"3 * 4", "12"},        {"7 / 2", "3"},
          {"-7 / 2", "-3"},         {"7 % 3", "1"},        {"-7 % 3", "-1"},       {"7 % -3", "1"},
          {"1u + 2u", "3u"},        {"3u - 1u", "2u"},     {"3u * 4u", "12u"},     {"7u / 2u", "3u"},
          {"7u % 4u", "3u"},        {"1.5 + 2.0", "3.5"},  {"1.5 - 2.0", "-0.5"},  {"1.5 * 2.0", "3.0"},
          {"1.0 / 4.0", "0.25"},    {"1.0 / 0.0", "+Inf"}, {"-1.0 / 0.0", "-Inf"}, {"0.0 / 0.0", "NaN"},
          {"1e308 * 10.0", "+Inf"}, {"-(1.5)", "-1.5"},    {"-0.0", "-0.0"}});
}

TEST(CelArithmetic, NeverWrapsAround) {
  expect({{"9223372036854775807 + 1", "error: integer overflow"},
          {"-9223372036854775808 - 1", "error: integer overflow"},
          {"9223372036854775807 * 2", "error: integer overflow"},
          {"5000000000 * 5000000000", "error: integer overflow"},
          {"-9223372036854775808 / -1", "error: integer overflow"},
          {"-9223372036854775808 % -1", "error: integer overflow"},
          {"-(-9223372036854775808)", "error: integer overflow"},
          {"18446744073709551615u + 1u", "error: unsigned integer overflow"},
          {"0u - 1u", "error: unsigned integer overflow"},
          {"18446744073709551615u * 2u", "error: unsigned integer overflow"},
          {"1 / 0", "error: division by zero"},
          {"1u / 0u", "error: division by zero"},
          {"1 % 0", "error: modulus by zero"},
          {"1u % 0u", "error: modulus by zero"}});
}

TEST(CelArithmetic, NeverConvertsNumbers) {
  expect({{"1 + 1u", "error: no such overload: _+_ applied to (int, uint)"},
          {"1 + 1.0", "error: no such overload: _+_ applied to (int, double)"},
          {"1.0 % 1.0", "error: no such overload: _%_ applied to (double, double)"},
          {"-1u", "error: no such overload: -_ applied to (uint)"},
          {"-'a'", "error: no such overload: -_ applied to (string)"},
          {"!1", "error: no such overload: !_ applied to (int)"},
          {"'a' - 'b'", "error: no such overload: _-_ applied to (string, string)"},
          {"'a' * 2", "error: no such overload: _*_ applied to (string, int)"},
          {"null + null", "error: no such overload: _+_ applied to (null_type, null_type)"},
          {"{} + {}", "error: no such overload: _+_ applied to (map, map)"}});
}

TEST(CelArithmetic, Concatenates) {
  expect({{"'a' + 'b'", "\"ab\""},
          {"b'a' + b'b'", "b\"ab\""},
          {"[1] + [2, 'x']", "[1, 2, \"x\"]"},
          {"[] + []", "[]"},
          {"'a' + 1", "error: no such overload: _+_ applied to (string, int)"}});
}

TEST(CelEquality, IsDeepAndAcrossNumberTypes) {
  expect({{"1 == 1u", "true"},
          {"1 == 1.0", "true"},
          {"1u == 1.0", "true"},
          {"1 == 1.5", "false"},
          {"-1 == 18446744073709551615u", "false"},
          {"0.0 == -0.0", "true"},
          {"1 != 2u", "true"},
          {"double('NaN') == double('NaN')", "false"},
          {"double('NaN') != double('NaN')", "true"},
          {"[double('NaN')] == [double('NaN')]", "false"},
          {"double('inf') == double('inf')", "true"},
          {"1 == '1'", "false"},
          {"null == null", "true"},
          {"null == 0", "false"},
          {"'a' == b'a'", "false"},
          {"[1, 2] == [1.0, 2u]", "true"},
          {"[1, 2] == [2, 1]", "false"},
          {"[1] == [1, 1]", "false"},
          {"[[1]] == [[1]]", "true"},
          {"{'a': 1, 'b': 2} == {'b': 2.0, 'a': 1u}", "true"},
          {"{1: 'a'} == {1u: 'a'}", "true"},
          {"{'a': 1} == {'a': 2}", "false"},
          {"{'a': 1} == {'b': 1}", "false"},
          {"{} == []", "false"},
          {"int == int", "true"},
          {"int == uint", "false"},
          {"timestamp(0) == timestamp('1970-01-01T00:00:00Z')", "true"},
          {"duration('60s') == duration('1m')", "true"},
          {"'e\u0301' == '\u00e9'", "false"}});
}

TEST(CelOrdering, WithinAndAcrossTypes) {
  expect({{"1 < 2", "true"},
          {"2 <= 2", "true"},
          {"2 > 3", "false"},
          {"3 >= 3", "true"},
          {"1 < 2u", "true"},
          {"-1 < 0u", "true"},
          {"1u < 1.5", "true"},
          {"2.5 > 2", "true"},
          {"18446744073709551615u > -1", "true"},
          {"9223372036854775807 < 1e300", "true"},
          {"-1e300 < -9223372036854775808", "true"},
          {"9223372036854775807 < 9223372036854775808.0", "false"},
          {"'a' < 'b'", "true"},
          {"'abc' < 'abd'", "true"},
          {"'Z' < 'a'", "true"},
          {"'\uffff' < '\U0001F431'", "true"},
          {"b'\\x01' < b'\\xff'", "true"},
          {"false < true", "true"},
          {"timestamp(1) > timestamp(0)", "true"},
          {"duration('-1s') < duration('0')", "true"},
          {"double('NaN') < 1.0", "error: NaN values cannot be ordered"},
          {"1 < double('NaN')", "error: NaN values cannot be ordered"},
          {"1 < 'a'", "error: no such overload: _<_ applied to (int, string)"},
          {"[1] < [2]", "error: no such overload: _<_ applied to (list, list)"},
          {"null < null", "error: no such overload: _<_ applied to (null_type, null_type)"}});
}

TEST(CelLogic, AbsorbsErrorsOnEitherSide) {
  expect({{"true && true", "true"},
          {"true && false", "false"},
          {"false || false", "false"},
          {"false && 1 / 0 == 1", "false"},
          {"1 / 0 == 1 && false", "false"},
          {"true || 1 / 0 == 1", "true"},
          {"1 / 0 == 1 || true", "true"},
          {"1 / 0 == 1 && true", "error: division by zero"},
          {"1 / 0 == 1 || false", "error: division by zero"},
          {"1 / 0 == 1 || 1 % 0 == 1", "error: division by zero"},
          {"'a' && false", "false"},
          {"false && 'a'", "false"},
          {"'a' || true", "true"},
          {"true && 'a'", "error: no such overload: _&&_ applied to (string)"},
          {"'a' || false", "error: no such overload: _||_ applied to (string)"},
          {"missing || true", "true"},
          {"missing && true", "error: no such attribute: missing"},
          {"1 / 0 == 1 || missing || 3 > 2", "true"},
          {"(1 / 0 == 1 || true) && (true || missing)", "true"}});
}

TEST(CelLogic, ConditionalReadsOneBranchOnly) {
  expect({{"true ? 1 : 1 / 0", "1"},
          {"false ? 1 / 0 : 2", "2"},
          {"true ? 1 : 'a'", "1"},
          {"1 / 0 == 1 ? 1 : 2", "error: division by zero"},
          {"'a' ? 1 : 2", "error: no such overload: _?_:_ applied to (string)"}});
}

TEST(CelCollections, FindsItemsAndKeys) {
  expect({{"[1, 2, 3][0]", "1"},
          {"[1, 2, 3][2u]", "3"},
          {"[1, 2, 3][1.0]", "2"},
          {"[1][1]", "error: index out of bounds: 1 in a list of 1"},
          {"[1][-1]", "error: index out of bounds: -1 in a list of 1"},
          {"[1][18446744073709551615u]", "error: index out of bounds: 18446744073709551615 in a list of 1"},
          {"[1]['a']", "error: unsupported index value a in list"},
          {"[1][0.5]", "error: unsupported index value 0.500000 in list"},
          {"{'a': 1}['a']", "1"},
          {"{'a': 1}.a", "1"},
          {"{'a': {'b': 2}}.a.b", "2"},
          {"{1: 'x'}[1u]", "\"x\""},
          {"{1: 'x'}[1.0]", "\"x\""},
          {"{1u: 'x'}[1]", "\"x\""},
          {"{-1: 'x'}[-1.0]", "\"x\""},
          {"{true: 'x'}[true]", "\"x\""},
          {"{1: 'x'}[1.5]", "error: no such key: 1.500000"},
          {"{'a': 1}['b']", "error: no such key: b"},
          {"{'a': 1}.b", "error: no such key: b"},
          {"{1: 'a'}.b", "error: no such key: b"},
          {"'a'[0]", "error: no such overload: _[_] applied to (string, int)"},
          {"'a'.b", "error: type 'string' does not support field selection"},
          {"1 in [1, 2]", "true"},
          {"1u in [1, 2]", "true"},
          {"'a' in [1, 'a']", "true"},
          {"3 in [1, 2]", "false"},
          {"'a' in {'a': 1}", "true"},
          {"1 in {'a': 1}", "false"},
          {"2.0 in {2: 1}", "true"},
          {"null in [null]", "true"},
          {"[] in {'a': 1}", "false"},
          {"'a' in 'abc'", "error: no such overload: @in applied to (string, string)"}});
}

TEST(CelCollections, RefusesKeysThatAreRepeatedOrOfNoKeyType) {
  expect({{"{'a': 1, 'a': 2}", "error: insert failed: key a already exists"},
          {"{1: 1, 1u: 2}", "error: insert failed: key 1 already exists"},
          {"{true: 1, true: 2}", "error: insert failed: key true already exists"},
          {"{1.5: 1}", "error: unsupported key type: double"},
          {"{null: 1}", "error: unsupported key type: null_type"},
          {"{[]: 1}", "error: unsupported key type: list"},
          {"{1: 1, '1': 2, true: 3}", "{1: 1, \"1\": 2, true: 3}"},
          {"{'j': 1, 'i': 1, 'h': 1, 'g': 1, 'f': 1, 'e': 1, 'd': 1, 'c': 1, 'b': 1, 'a': 1, 'e': 2}",
           "error: insert failed: key e already exists"}});
}

TEST(CelCollections, FindsKeysInLargeMaps) {
  std::string text = "{";
  for (int i = -20; i < 20; ++i) text += std::to_string(i) + ": " + std::to_string(i * i) + ", ";
  for (int i = 0; i < 20; ++i) text += "'k" + std::to_string(i) + "': " + std::to_string(i) + ", ";
  text += "true: 'yes'}";
  EXPECT_EQ(run(text + "[-20]"), "400");
  EXPECT_EQ(run(text + "[19u]"), "361");
  EXPECT_EQ(run(text + ".k13"), "13");
  EXPECT_EQ(run(text + "['k7']"), "7");
  EXPECT_EQ(run(text + "[true]"), "\"yes\"");
  EXPECT_EQ(run(text + "[20]"), "error: no such key: 20");
  EXPECT_EQ(run(text + ".k20"), "error: no such key: k20");
  EXPECT_EQ(run(text + " == " + text), "true");
}

TEST(CelMacros, HasTestsForAKey) {
  expect({{"has({'a': 1}.a)", "true"},
          {"has({'a': null}.a)", "true"},
          {"has({'a': 1}.b)", "false"},
          {"has({'a': {'b': 1}}.a.b)", "true"},
          {"has({'a': {'b': 1}}.c.b)", "error: no such key: c"},
          {"has('a'.b)", "error: type 'string' does not support field selection"},
          {"has(missing.a)", "error: no such attribute: missing"}});
}

TEST(CelMacros, QuantifiersAbsorbErrorsAsLogicDoes) {
  expect({{"[1, 2].all(x, x > 0)", "true"},
          {"[1, 2].all(x, x > 1)", "false"},
          {"[].all(x, x > 0)", "true"},
          {"[0, 1].all(x, 1 / x < 0)", "false"},
          {"[1, 0].all(x, 1 / x > 0)", "error: division by zero"},
          {"[1, 2].all(x, x)", "error: no such overload: _&&_ applied to (int)"},
          {"{'a': 1}.all(k, k == 'a')", "true"},
          {"[1, 2].exists(x, x == 2)", "true"},
          {"[].exists(x, true)", "false"},
          {"[0, 2].exists(x, 4 / x == 2)", "true"},
          {"[0, 1].exists(x, 4 / x == 2)", "error: division by zero"},
          {"{'a': 1, 'b': 2}.exists(k, k == 'b')", "true"},
          {"[1, 'a'].exists(x, x == 'a')", "true"},
          {"[1, 2, 3].exists_one(x, x > 2)", "true"},
          {"[1, 2, 3].exists_one(x, x > 1)", "false"},
          {"[1, 2, 3].existsOne(x, x == 1)", "true"},
          {"[].exists_one(x, true)", "false"},
          {"[0, 1].exists_one(x, 1 / x == 1)", "error: division by zero"},
          {"{'a': 1}.exists_one(k, k == 'a')", "true"},
          {"1.all(x, true)",
           "error: expression of type 'int' cannot be range of a comprehension (must be list, "
           "map, or dynamic)"}});
}

TEST(CelMacros, MapAndFilterMakeLists) {
  expect({{"[1, 2].map(x, x * 2)", "[2, 4]"},
          {"[].map(x, x)", "[]"},
          {"[1, 2, 3].map(x, x > 1, x * 2)", "[4, 6]"},
          {"{'b': 1, 'a': 2}.map(k, k + '!')", "[\"b!\", \"a!\"]"},
          {"[1, 2, 3].filter(x, x % 2 == 1)", "[1, 3]"},
          {"{'a': 1, 'b': 2}.filter(k, k != 'a')", "[\"b\"]"},
          {"[1].map(x, 1 / 0)", "error: division by zero"},
          {"[0].filter(x, 1 / x == 1)", "error: division by zero"},
          {"[1].filter(x, x)", "error: no such overload: _?_:_ applied to (int)"},
          {"[1, 2].map(x, [x])", "[[1], [2]]"}});
}

TEST(CelMacros, InnerVariablesShadowOuterOnes) {
  expect({{"[1, 2].map(x, [10, 20].map(x, x + 1))", "[[11, 21], [11, 21]]"},
          {"[1, 2].map(x, [10].map(y, x + y))", "[[11], [12]]"},
          {"[1, 2].map(x, [x].map(x, x * 10))", "[[10], [20]]"},
          {"[[1, 2], [3]].map(x, x.map(x, x))", "[[1, 2], [3]]"},
          {"[1, 2].map(x, [3].map(x, x)[0] + x)", "[4, 5]"},
          {"[1, 2].all(x, [1, 2].exists(y, x == y))", "true"},
          {"[{'x': 1}].map(x, x.x)", "[1]"},
          {"[1].map(y, y + 1)[0] + y", "102"},
          {"[1].map(y, .y)", "[100]"},
          {"[1].map(y, y)", "[1]"},
          {"y.z.exists(y, y == 'in z')", "error: type 'int' does not support field selection"}},
         Variables{{"y", Value::integer(100)}});
}

TEST(CelVariables, AreLookedUpByTheLongestName) {
  const Variables variables{{"a.b.c", Value::string("whole")},
                            {"a.b", Value::map(Map({{Value::string("d"), Value::string("field")}}))},
                            {"a", Value::map(Map({{Value::string("x"), Value::integer(1)}}))}};
  expect({{"a.b.c", "\"whole\""},
          {"a.b.d", "\"field\""},
          {"a.x", "1"},
          {".a.x", "1"},
          {"a.b.c.size()", "5"},
          {"a.y", "error: no such key: y"},
          {"has(a.x)", "true"},
          {"[{'b': {'c': 'inner'}}].map(a, a.b.c)", "[\"inner\"]"}},
         variables);
}

TEST(CelVariables, AreAskedForOnlyWhenReached) {
  class Counting : public Activation {
   public:
    std::optional<Value> find(std::string_view name) const override {
      asked.emplace_back(name);
      return Value::boolean(true);
    }
    mutable std::vector<std::string> asked;
  };
  const Counting counting;
  EXPECT_EQ(run("a || b", counting), "true");
  EXPECT_EQ(counting.asked, std::vector<std::string>{"a"});
}

TEST(CelTypes, AreValues) {
  expect({{"type(1)", "int"},
          {"type(1u) == uint", "true"},
          {"type(1.0) == double", "true"},
          {"type('') == string", "true"},
          {"type(b'') == bytes", "true"},
          {"type(true) == bool", "true"},
          {"type(null) == null_type", "true"},
          {"type([]) == list", "true"},
          {"type({}) == map", "true"},
          {"type(int) == type", "true"},
          {"type(type(1)) == type", "true"},
          {"type(timestamp(0)) == google.protobuf.Timestamp", "true"},
          {"type(duration('0')) == google.protobuf.Duration", "true"},
          {"type([1]) == type(['a'])", "true"},
          {"dyn(1) + 1", "2"}});
}

TEST(CelErrors, PointToWhereTheyCameUp) {
  const auto place = [](std::string_view text) {
    Problems problems;
    const auto expression = parse(text, problems);
    const Outcome outcome = evaluate(*expression, Variables());
    return std::pair(outcome.error().at, outcome.error().offset);
  };
  EXPECT_EQ(place("1 + 2 / 0"), std::pair(Position(1, 7), 6u));
  EXPECT_EQ(place("true &&\n  {'a': 1}.b"), std::pair(Position(2, 12), 19u));
  EXPECT_EQ(place("size(1)"), std::pair(Position(1, 1), 0u));
  EXPECT_EQ(place("false || 1 / 0 > 1 || 1 % 0 > 1"), std::pair(Position(1, 12), 11u));
  EXPECT_EQ(place("[1].map(x, x + missing)"), std::pair(Position(1, 16), 15u));
}

TEST(CelBudget, EndsWhatCostsTooMuch) {
  const std::string_view over = "error: evaluation costs more than its limit of steps";
  EvaluateOptions options;
  options.steps = 100'000;
  const std::string ten = "[0,1,2,3,4,5,6,7,8,9]";
  std::string nested = "1";
  for (const char variable : {'a', 'b', 'c', 'd', 'e', 'f', 'g'})
    nested = ten + ".map(" + variable + ", " + nested + ")";
  EXPECT_EQ(run(nested, Variables(), options), over);
  std::string doubled = "'0123456789abcdef'";
  for (int i = 0; i < 40; ++i) doubled = "[" + doubled + "].map(s, s + s)[0]";
  EXPECT_EQ(run(doubled, Variables(), options), over);
  std::string replaced = "'aaaaaaaa'";
  for (int i = 0; i < 20; ++i) replaced += ".replace('a', 'aaaaaaaa')";
  EXPECT_EQ(run(replaced, Variables(), options), over);
  std::string lists = "[1,2]";
  for (int i = 0; i < 40; ++i) lists = "[" + lists + "].map(l, [l, l])[0]";
  EXPECT_EQ(run(lists + " == " + lists, Variables(), options), over);
  EXPECT_EQ(run("'%s'.format([" + lists + "])", Variables(), options), over);
  EXPECT_EQ(run("[" + lists + "].exists(x, x == " + lists + ") || true", Variables(), options), over);
  EXPECT_EQ(run("true", Variables(), EvaluateOptions{.steps = 1}), over);
}

TEST(CelBudget, CountsPatternsByWhatTheyCompileTo) {
  const std::string_view over = "error: evaluation costs more than its limit of steps";
  EvaluateOptions options;
  options.steps = 100'000;
  std::string many = "[";
  for (int i = 0; i < 200; ++i) many += "'(a{99}){9}" + std::to_string(i) + "',";
  EXPECT_EQ(run(many + "].exists(p, 'x'.matches(p))", Variables(), options), over);
  const Variables text{{"t", Value::string(std::string(100'000, 'a'))}};
  EXPECT_EQ(run("t.matches('(x+x+)+y')", text, EvaluateOptions{.steps = 1'000'000}), "false");
  EXPECT_EQ(run("t.matches('((a?){50}){18}b')", text, options), over);
}

// Each body wraps what the one before it made: far deeper than the text is nested.
TEST(CelBudget, BoundsHowDeepValuesNest) {
  std::string text = "[1]";
  const std::string wrapped = std::string(100, '[') + "x" + std::string(100, ']');
  for (int i = 0; i < 120; ++i) text += ".map(x, " + wrapped + ")";
  EXPECT_EQ(run(text), "error: value is nested more than 1000 levels deep");
}

TEST(CelFunctions, MayBeAddedByOthers) {
  Functions functions = Functions::standard();
  functions.add("repeat", {Overload::Style::Member,
                           {Type::string(), Type::integer()},
                           Type::string(),
                           [](Context& context, std::span<const Value> arguments) -> Value {
                             const int64_t times = arguments[1].as_int();
                             if (times < 0) return context.fail("repeat: negative");
                             std::string out;
                             for (int64_t i = 0; i < times; ++i) {
                               if (!context.charge_bytes(arguments[0].as_string().size())) return {};
                               out += arguments[0].as_string();
                             }
                             return Value::string(out);
                           }});
  functions.add("my.lib.answer",
                {Overload::Style::Global, {}, Type::integer(), [](Context&, std::span<const Value>) {
                   return Value::integer(42);
                 }});
  EvaluateOptions options;
  options.functions = &functions;
  EXPECT_EQ(run("'ab'.repeat(2)", Variables(), options), "\"abab\"");
  EXPECT_EQ(run("'ab'.repeat(-1)", Variables(), options), "error: repeat: negative");
  EXPECT_EQ(run("'ab'.repeat(9223372036854775807)", Variables(), options),
            "error: evaluation costs more than its limit of steps");
  EXPECT_EQ(run("my.lib.answer()", Variables(), options), "42");
  EXPECT_EQ(run("'ab'.repeat(2)"), "error: no such function: repeat");
  Environment environment;
  environment.functions = &functions;
  EXPECT_EQ(types("'ab'.repeat(2) + string(my.lib.answer())", environment), "string");
  EXPECT_EQ(types("'ab'.repeat('c')", environment),
            "1:6: found no matching overload for 'repeat' applied to 'string.(string)'");
}

}  // namespace
}  // namespace kiln::cel::test
