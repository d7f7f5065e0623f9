#include "tests/unit/dag/cel_support.h"

namespace kiln::cel::test {
namespace {

TEST(CelFunctions, Size) {
  expect({{"size('')", "0"},
          {"size('h\u00e9llo')", "5"},
          {"'\U0001F431'.size()", "1"},
          {"size(b'\u00e9')", "2"},
          {"size([1, 2])", "2"},
          {"{'a': 1}.size()", "1"},
          {"size(1)", "error: no such overload: size applied to (int)"}});
}

TEST(CelConversions, ToInt) {
  expect({{"int(1)", "1"},
          {"int(2u)", "2"},
          {"int(2.9)", "2"},
          {"int(-2.9)", "-2"},
          {"int('-7')", "-7"},
          {"int('+7')", "7"},
          {"int(timestamp('2009-02-13T23:31:30Z'))", "1234567890"},
          {"int(duration('1s'))", "1000000000"},
          {"int(9223372036854775807u)", "9223372036854775807"},
          {"int(9223372036854775808u)", "error: integer overflow: out of range"},
          {"int(1e19)", "error: integer overflow: out of range"},
          {"int(-9223372036854775808.0)", "error: integer overflow: out of range"},
          {"int(double('NaN'))", "error: integer overflow: out of range"},
          {"int('1.5')", "error: type conversion error from 'string' to 'int'"},
          {"int('')", "error: type conversion error from 'string' to 'int'"},
          {"int(' 1')", "error: type conversion error from 'string' to 'int'"},
          {"int('9223372036854775808')", "error: type conversion error from 'string' to 'int'"},
          {"int(true)", "error: no such overload: int applied to (bool)"},
          {"int(null)", "error: no such overload: int applied to (null_type)"}});
}

TEST(CelConversions, ToUintAndDouble) {
  expect({{"uint(1)", "1u"},
          {"uint(1.9)", "1u"},
          {"uint('7')", "7u"},
          {"uint(-1)", "error: unsigned integer overflow: out of range"},
          {"uint(-0.5)", "error: unsigned integer overflow: out of range"},
          {"uint(1.9e19)", "error: unsigned integer overflow: out of range"},
          {"uint('-1')", "error: type conversion error from 'string' to 'uint'"},
          {"double(1)", "1.0"},
          {"double(1u)", "1.0"},
          {"double('1.5e3')", "1500.0"},
          {"double('-inf')", "-Inf"},
          {"double('Infinity')", "+Inf"},
          {"double('nan')", "NaN"},
          {"double('1e-400')", "0.0"},
          {"double('1e400')", "error: type conversion error from 'string' to 'double'"},
          {"double('x')", "error: type conversion error from 'string' to 'double'"},
          {"double('')", "error: type conversion error from 'string' to 'double'"}});
}

TEST(CelConversions, ToBoolStringAndBytes) {
  expect({{"bool('true')", "true"},
          {"bool('TRUE')", "true"},
          {"bool('t')", "true"},
          {"bool('1')", "true"},
          {"bool('False')", "false"},
          {"bool('0')", "false"},
          {"bool('yes')", "error: type conversion error from 'string' to 'bool'"},
          {"bool('tRuE')", "error: type conversion error from 'string' to 'bool'"},
          {"string('a')", "\"a\""},
          {"string(true)", "\"true\""},
          {"string(-1)", "\"-1\""},
          {"string(1u)", "\"1\""},
          {"string(1.0)", "\"1\""},
          {"string(123456.0)", "\"123456\""},
          {"string(1000000.0)", "\"1e+06\""},
          {"string(0.0001)", "\"0.0001\""},
          {"string(0.00001)", "\"1e-05\""},
          {"string(-1.5)", "\"-1.5\""},
          {"string(0.1 + 0.2)", "\"0.30000000000000004\""},
          {"string(b'h\u00e9')", "\"h\u00e9\""},
          {"string(b'\\xff')", "error: invalid UTF-8 in bytes, cannot convert to string"},
          {"string(timestamp('2009-02-13T23:31:30.5+01:00'))", "\"2009-02-13T22:31:30.5Z\""},
          {"string(duration('1h1ms'))", "\"3600.001s\""},
          {"string([1])", "error: no such overload: string applied to (list)"},
          {"bytes('\u00e9')", "b\"\\xc3\\xa9\""},
          {"bytes(b'a')", "b\"a\""}});
}

TEST(CelStrings, Search) {
  expect({{"'abc'.startsWith('ab')", "true"},
          {"'abc'.startsWith('bc')", "false"},
          {"'abc'.startsWith('')", "true"},
          {"'abc'.endsWith('bc')", "true"},
          {"'abc'.endsWith('abcd')", "false"},
          {"'abc'.contains('b')", "true"},
          {"'abc'.contains('')", "true"},
          {"'abc'.contains('d')", "false"},
          {"1.contains('1')", "error: no such overload: contains applied to (int, string)"},
          {"'tacocat'.indexOf('')", "0"},
          {"'tacocat'.indexOf('ac')", "1"},
          {"'tacocat'.indexOf('none')", "-1"},
          {"'tacocat'.indexOf('a', 3)", "5"},
          {"'tacocat'.indexOf('', 3)", "3"},
          {"'tacocat'.indexOf('a', 30)", "-1"},
          {"'tacocat'.indexOf('a', -1)", "error: index out of range: -1"},
          {"'ta\u00a9o\u00a9\u03b1T'.indexOf('\u00a9')", "2"},
          {"'ta\u00a9o\u00a9\u03b1T'.indexOf('\u00a9', 3)", "4"},
          {"'tacocat'.lastIndexOf('')", "7"},
          {"'tacocat'.lastIndexOf('at')", "5"},
          {"'tacocat'.lastIndexOf('a', 3)", "1"},
          {"'tacocat'.lastIndexOf('none')", "-1"},
          {"'tacocat'.lastIndexOf('a', -1)", "error: index out of range: -1"},
          {"'tacocat'.lastIndexOf('a', 7)", "-1"},
          {"'ta\u00a9o\u00a9\u03b1T'.lastIndexOf('\u00a9', 3)", "2"},
          {"''.lastIndexOf('a')", "-1"}});
}

TEST(CelStrings, Parts) {
  expect({{"'tacocat'.charAt(3)", "\"o\""},
          {"'tacocat'.charAt(7)", "\"\""},
          {"'tacocat'.charAt(8)", "error: index out of range: 8"},
          {"'tacocat'.charAt(-1)", "error: index out of range: -1"},
          {"'\u00a9\u03b1T'.charAt(1)", "\"\u03b1\""},
          {"'tacocat'.substring(4)", "\"cat\""},
          {"'tacocat'.substring(7)", "\"\""},
          {"'tacocat'.substring(0, 4)", "\"taco\""},
          {"'tacocat'.substring(4, 4)", "\"\""},
          {"'ta\u00a9o\u00a9\u03b1T'.substring(2, 6)", "\"\u00a9o\u00a9\u03b1\""},
          {"'tacocat'.substring(8)", "error: index out of range: 8"},
          {"'tacocat'.substring(2, 1)", "error: invalid substring range. start: 2, end: 1"},
          {"'tacocat'.substring(1, 40)", "error: index out of range: 40"},
          {"'tacocat'.substring(-1, 4)", "error: index out of range: -1"},
          {"'a,b,c'.split(',')", "[\"a\", \"b\", \"c\"]"},
          {"'a,b,c'.split(',', 0)", "[]"},
          {"'a,b,c'.split(',', 1)", "[\"a,b,c\"]"},
          {"'a,b,c'.split(',', 2)", "[\"a\", \"b,c\"]"},
          {"'a,b,c'.split(',', -1)", "[\"a\", \"b\", \"c\"]"},
          {"','.split(',')", "[\"\", \"\"]"},
          {"''.split(',')", "[\"\"]"},
          {"'h\u00e9!'.split('')", "[\"h\", \"\u00e9\", \"!\"]"},
          {"'abc'.split('', 2)", "[\"a\", \"bc\"]"},
          {"''.split('')", "[]"},
          {"['a', 'b'].join()", "\"ab\""},
          {"['a', 'b'].join('-')", "\"a-b\""},
          {"[].join('-')", "\"\""},
          {"['a', 1].join()", "error: join: invalid input: int"}});
}

TEST(CelStrings, Changes) {
  expect({{"'TacoC\u00c6t'.lowerAscii()", "\"tacoc\u00c6t\""},
          {"'tacoc\u00e6t'.upperAscii()", "\"TACOC\u00e6T\""},
          {"' \\f\\n\\r\\t\\v\\u0085\\u00a0\\u3000x \\u2028'.trim()", "\"x\""},
          {"' \\u200b '.trim()", "\"\u200b\""},
          {"'  '.trim()", "\"\""},
          {"'gums'.reverse()", "\"smug\""},
          {"'h\u00e9\U0001F431'.reverse()", "\"\U0001F431\u00e9h\""},
          {"'hello hello'.replace('he', 'we')", "\"wello wello\""},
          {"'hello hello'.replace('he', 'we', 1)", "\"wello hello\""},
          {"'hello hello'.replace('he', 'we', 0)", "\"hello hello\""},
          {"'hello hello'.replace('he', 'we', -1)", "\"wello wello\""},
          {"'hello'.replace('', '_')", "\"_h_e_l_l_o_\""},
          {"'h\u00e9'.replace('', '_', 2)", "\"_h_\u00e9\""},
          {"'aaa'.replace('aa', 'b')", "\"ba\""},
          {"strings.quote('a\"b\\\\\\n\\t\u00e9')", "\"\"a\\\"b\\\\\\n\\t\u00e9\"\""},
          {"strings.quote('')", "\"\"\"\""}});
}

TEST(CelFormat, WritesEveryKindOfValue) {
  expect({{"'no verbs'.format([])", "\"no verbs\""},
          {"'%% %s'.format(['x'])", "\"% x\""},
          {"'%s %s %s'.format([1, 2u, 1.5])", "\"1 2 1.5\""},
          {"'%s'.format([1000000.0])", "\"1000000\""},
          {"'%s'.format([1e23])", "\"100000000000000000000000\""},
          {"'%s %s %s'.format([double('nan'), double('inf'), double('-inf')])", "\"NaN Infinity -Infinity\""},
          {"'%s %s'.format([null, true])", "\"null true\""},
          {"'%s %s'.format([b'abc', b'\\xff'])", "\"abc \ufffd\""},
          {"'%s'.format([[1, 'a', [null]]])", "\"[1, a, [null]]\""},
          {"'%s'.format([{'b': 1, 'a': {2: true}}])", "\"{a: {2: true}, b: 1}\""},
          {"'%s %s'.format([timestamp(0), duration('90s')])", "\"1970-01-01T00:00:00Z 90s\""},
          {"'%s'.format([type(1)])", "\"int\""},
          {"'%d %d %d'.format([-1, 2u, 2.5])", "\"-1 2 2.5\""},
          {"'%f %.0f %.3f'.format([1.5, 2.5, 1])", "\"1.500000 2 1.000\""},
          {"'%e %.2e'.format([1234.5, 0.00012])", "\"1.234500e+03 1.20e-04\""},
          {"'%.2f %e'.format([double('nan'), double('-inf')])", "\"NaN -Infinity\""},
          {"'%b %b %b'.format([5, -5, true])", "\"101 -101 1\""},
          {"'%o %o'.format([8, -8])", "\"10 -10\""},
          {"'%x %X %x'.format([255, 255u, -255])", "\"ff FF -ff\""},
          {"'%x %X'.format(['hi\u00e9', b'\\x00\\xff'])", "\"6869c3a9 00FF\""}});
}

TEST(CelFormat, RefusesWhatDoesNotFit) {
  expect(
      {{"'%s'.format([])", "error: index 0 out of range"},
       {"'%'.format([1])", "error: unexpected end of string"},
       {"'%a'.format([1])", "error: could not parse formatting clause: unrecognized formatting clause \"a\""},
       {"'%.f'.format([1.0])",
        "error: could not parse formatting clause: error while parsing precision: not a number up to 1000"},
       {"'%.99999f'.format([1.0])",
        "error: could not parse formatting clause: error while parsing precision: not a number up to 1000"},
       {"'%.3'.format([1.0])",
        "error: could not parse formatting clause: error while parsing precision: could not "
        "find end of precision specifier"},
       {"'%d'.format(['a'])",
        "error: error during formatting: decimal clause can only be used on integers, was given string"},
       {"'%f'.format(['a'])",
        "error: error during formatting: fixed-point clause can only be used on doubles, was given string"},
       {"'%e'.format([true])",
        "error: error during formatting: scientific clause can only be used on doubles, was given bool"},
       {"'%b'.format(['a'])",
        "error: error during formatting: only integers and bools can be formatted as binary, was given "
        "string"},
       {"'%x'.format([1.5])",
        "error: error during formatting: only integers, byte buffers, and strings can be "
        "formatted as hex, was given double"},
       {"'%o'.format(['a'])",
        "error: error during formatting: octal clause can only be used on integers, was given string"}});
}

TEST(CelMatches, SearchesWithRe2) {
  expect({{"'hubba'.matches('ubb')", "true"},
          {"'hubba'.matches('^ubb')", "false"},
          {"matches('hubba', '^h.*a$')", "true"},
          {"'\u00e9'.matches('^.$')", "true"},
          {"'A'.matches('(?i)a')", "true"},
          {"'abc'.matches('')", "true"},
          {"'v1.2.3'.matches(r'^v\\d+\\.\\d+\\.\\d+$')", "true"},
          {"'aa'.matches('a' + '+$')", "true"},
          {"'x'.matches('(')", "error: invalid matches argument: missing ): ("},
          {"'x'.matches(r'(x)\\1')", "error: invalid matches argument: invalid escape sequence: \\1"}});
  // Exponential for an engine that backtracks.
  EXPECT_EQ(run("'" + std::string(5000, 'a') + "'.matches('^(a+)+$b')"), "false");
}

TEST(CelTime, ReadsTimestamps) {
  expect({{"timestamp('2009-02-13T23:31:30Z')", "timestamp(2009-02-13T23:31:30Z)"},
          {"timestamp('2009-02-13T23:31:30.123456789Z')", "timestamp(2009-02-13T23:31:30.123456789Z)"},
          {"timestamp('2009-02-13T23:31:30.1234567899Z')", "timestamp(2009-02-13T23:31:30.123456789Z)"},
          {"timestamp('2009-02-13T23:31:30-05:30')", "timestamp(2009-02-14T05:01:30Z)"},
          {"timestamp(1234567890)", "timestamp(2009-02-13T23:31:30Z)"},
          {"timestamp('0001-01-01T00:00:00Z')", "timestamp(0001-01-01T00:00:00Z)"},
          {"timestamp('2020-02-29T00:00:00Z')", "timestamp(2020-02-29T00:00:00Z)"}});
  expect_errors({"timestamp('2021-02-29T00:00:00Z')", "timestamp('0000-01-01T00:00:00Z')",
                 "timestamp('10000-01-01T00:00:00Z')", "timestamp('0001-01-01T00:00:00+01:00')",
                 "timestamp('2009-02-13')", "timestamp('2009-02-13T23:31:30')",
                 "timestamp('2009-02-13T24:00:00Z')", "timestamp('2009-02-13T23:31:60Z')",
                 "timestamp('2009-02-13T23:31:30.Z')", "timestamp('')", "timestamp('2009-02-13T23:31:30Zx')",
                 "timestamp(253402300800)", "timestamp(-62135596801)"});
}

TEST(CelTime, ReadsDurations) {
  expect({{"duration('1h30m')", "duration(5400s)"},
          {"duration('1.5h')", "duration(5400s)"},
          {"duration('-1.5s')", "duration(-1.5s)"},
          {"duration('-0.5s')", "duration(-0.5s)"},
          {"duration('+1s')", "duration(1s)"},
          {"duration('1ms')", "duration(0.001s)"},
          {"duration('1us')", "duration(0.000001s)"},
          {"duration('1\u00b5s')", "duration(0.000001s)"},
          {"duration('1ns')", "duration(0.000000001s)"},
          {"duration('.5s')", "duration(0.5s)"},
          {"duration('0')", "duration(0s)"},
          {"duration('9223372036854775807ns')", "duration(9223372036.854775807s)"},
          {"duration('-9223372036854775808ns')", "duration(-9223372036.854775808s)"}});
  expect_errors({"duration('')", "duration('1')", "duration('s')", "duration('1d')", "duration('1 s')",
                 "duration('-')", "duration('.s')", "duration('9223372036854775808ns')",
                 "duration('320000000000s')", "duration('99999999999999999999999h')"});
}

TEST(CelTime, Adds) {
  expect({{"timestamp(0) + duration('1s')", "timestamp(1970-01-01T00:00:01Z)"},
          {"duration('1s') + timestamp(0)", "timestamp(1970-01-01T00:00:01Z)"},
          {"timestamp(0) - duration('1ns')", "timestamp(1969-12-31T23:59:59.999999999Z)"},
          {"timestamp(10) - timestamp(4)", "duration(6s)"},
          {"timestamp(4) - timestamp(10)", "duration(-6s)"},
          {"duration('1s') + duration('1ms')", "duration(1.001s)"},
          {"duration('1s') - duration('2s')", "duration(-1s)"}});
  expect_errors({"timestamp('9999-12-31T23:59:59Z') + duration('1s')",
                 "timestamp('0001-01-01T00:00:00Z') - duration('1ns')",
                 "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')",
                 "duration('2540400h') + duration('2540400h')",
                 "duration('-2540400h') - duration('2540400h')", "timestamp(0) + timestamp(0)",
                 "timestamp(0) * 2", "-duration('1s')", "timestamp(0) + 1",
                 "timestamp(0) - duration('-9223372036854775808ns')"});
}

TEST(CelTime, ReadsFieldsInUtc) {
  const Variables variables{{"t", Value::timestamp({1234567890, 123456789})}};  // Friday 2009-02-13 23:31:30
  expect({{"t.getFullYear()", "2009"},
          {"t.getMonth()", "1"},
          {"t.getDate()", "13"},
          {"t.getDayOfMonth()", "12"},
          {"t.getDayOfWeek()", "5"},
          {"t.getDayOfYear()", "43"},
          {"t.getHours()", "23"},
          {"t.getMinutes()", "31"},
          {"t.getSeconds()", "30"},
          {"t.getMilliseconds()", "123"},
          {"timestamp('1969-12-31T23:59:59.5Z').getMilliseconds()", "500"},
          {"timestamp('2020-12-31T00:00:00Z').getDayOfYear()", "365"},
          {"timestamp('0001-01-01T00:00:00Z').getDayOfWeek()", "1"}},
         variables);
}

TEST(CelTime, ReadsFieldsInAnyZone) {
  const Variables variables{{"t", Value::timestamp({1234567890, 0})}};
  expect({{"t.getHours('UTC')", "23"},
          {"t.getHours('')", "23"},
          {"t.getHours('+11:00')", "10"},
          {"t.getDate('+11:00')", "14"},
          {"t.getHours('02:00')", "1"},
          {"t.getMinutes('-02:30')", "1"},
          {"t.getHours('Europe/Berlin')", "0"},
          {"t.getDate('Australia/Sydney')", "14"},
          {"t.getHours('US/Central')", "17"},
          {"t.getMinutes('Asia/Kathmandu')", "16"},
          {"timestamp('2023-07-01T00:00:00Z').getHours('Europe/Berlin')", "2"},
          {"timestamp('2023-10-29T00:59:59Z').getHours('Europe/Berlin')", "2"},
          {"timestamp('2023-10-29T01:00:00Z').getHours('Europe/Berlin')", "2"},
          {"timestamp('2023-10-29T02:00:00Z').getHours('Europe/Berlin')", "3"},
          {"timestamp('2090-07-01T00:00:00Z').getHours('Europe/Berlin')", "2"},
          {"timestamp('2090-01-01T00:00:00Z').getHours('America/New_York')", "19"},
          {"t.getHours('Nowhere/Land')", "error: unknown time zone Nowhere/Land"},
          {"t.getHours('../../etc/passwd')", "error: unknown time zone ../../etc/passwd"},
          {"t.getHours('Europe')", "error: unknown time zone Europe"},
          {"t.getHours('+25:00')", "error: unknown time zone +25:00"},
          {"t.getHours('+1:00')", "error: unknown time zone +1:00"}},
         variables);
}

TEST(CelTime, ReadsPartsOfDurations) {
  expect({{"duration('10000s').getHours()", "2"},
          {"duration('3730s').getMinutes()", "62"},
          {"duration('3730s').getSeconds()", "3730"},
          {"duration('123.321456789s').getMilliseconds()", "321"},
          {"duration('-90m').getHours()", "-1"},
          {"duration('1s').getFullYear()",
           "error: no such overload: getFullYear applied to "
           "(google.protobuf.Duration)"}});
}

}  // namespace
}  // namespace kiln::cel::test
