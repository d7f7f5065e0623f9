#include "dag/substitution.h"

#include <gtest/gtest.h>

namespace kiln::dag {
namespace {

Variables some() {
  Variables out;
  out.set("params", "x", ParamValue::string("X"));
  out.set("params", "a.b", ParamValue::string("dotted"));
  out.set("params", "self", ParamValue::string("$(params.x)"));
  out.set("params", "list", ParamValue::array({"one", "two"}));
  out.set("params", "none", ParamValue::array({}));
  out.set("params", "o", ParamValue::object({{"key", "V"}, {"k.2", "W"}}));
  out.set({"tasks", "t", "results", "r"}, ParamValue::string("R"));
  return out;
}

std::string put(std::string_view text) {
  return substitute(text, some());
}

std::vector<std::string> list(std::vector<std::string> items) {
  std::vector<Text> texts;
  for (std::string& item : items) texts.push_back({std::move(item), {}});
  std::vector<std::string> out;
  for (const Text& text : substitute_list(texts, some())) out.push_back(text.value);
  return out;
}

TEST(Substitution, TakesEveryWayToWriteAParam) {
  EXPECT_EQ(put("$(params.x)"), "X");
  EXPECT_EQ(put("$(params['x'])"), "X");
  EXPECT_EQ(put("$(params[\"x\"])"), "X");
  EXPECT_EQ(put("$(inputs.params.x)"), "X");
  EXPECT_EQ(put("$(params['a.b'])"), "dotted");
  EXPECT_EQ(put("$(params[\"a.b\"])"), "dotted");
  EXPECT_EQ(put("$(params.list[1])"), "two");
  EXPECT_EQ(put("$(params['list'][0])"), "one");
  EXPECT_EQ(put("$(params.o.key)"), "V");
  EXPECT_EQ(put("$(params['o']['k.2'])"), "W");
  EXPECT_EQ(put("$(tasks.t.results.r)"), "R");
  EXPECT_EQ(put("$(tasks.t.results['r'])"), "R");
  EXPECT_EQ(put("a$(params.x)b$(params.x)c"), "aXbXc");
}

TEST(Substitution, LeavesWhatItDoesNotKnow) {
  for (const char* text : {"$(date)",
                           "$(eval echo x)",
                           "$$",
                           "$",
                           "$(",
                           "$()",
                           "$(params.y)",
                           "$(params.x",
                           "$(params)",
                           "$( params.x )",
                           "$(params.x[0])",
                           "$(params.list[2])",
                           "$(params.list[99999999999999999999])",
                           "$(params.o.nokey)",
                           "$(params.)",
                           "$(params['x)",
                           "$(params[])",
                           "$(params.list[*].x)",
                           "${params.x}",
                           "$(params.list)",
                           "$(params.o[*])"})
    EXPECT_EQ(put(text), text);
}

TEST(Substitution, FindsAVariableInsideAShellSubstitution) {
  EXPECT_EQ(put("$(echo $(params.x))"), "$(echo X)");
  EXPECT_EQ(put("$(cat <(echo $(params.x)))"), "$(cat <(echo X))");
  EXPECT_EQ(put("$$(params.x)"), "$X");
}

TEST(Substitution, NeverLooksAtItsOwnOutput) {
  EXPECT_EQ(put("$(params.self)"), "$(params.x)");
}

TEST(Substitution, ExpandsAnArrayThatStandsAlone) {
  EXPECT_EQ(list({"a", "$(params.list[*])", "b"}), (std::vector<std::string>{"a", "one", "two", "b"}));
  EXPECT_EQ(list({"$(params.list)"}), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(list({"$(params.none[*])"}), std::vector<std::string>{});
  EXPECT_EQ(list({"x $(params.list[*])"}), std::vector<std::string>{"x $(params.list[*])"});
}

TEST(Substitution, AWholeValueTakesTheTypeOfWhatItRefersTo) {
  EXPECT_EQ(substitute_value(ParamValue::string("$(params.list[*])"), some()),
            ParamValue::array({"one", "two"}));
  EXPECT_EQ(substitute_value(ParamValue::string("$(params.o[*])"), some()),
            ParamValue::object({{"key", "V"}, {"k.2", "W"}}));
  EXPECT_EQ(substitute_value(ParamValue::array({"$(params.x)", "$(params.list[*])"}), some()),
            ParamValue::array({"X", "one", "two"}));
  EXPECT_EQ(substitute_value(ParamValue::object({{"k", "$(params.x)"}}), some()),
            ParamValue::object({{"k", "X"}}));
}

TEST(Substitution, WritesArraysAndObjectsAsJson) {
  EXPECT_EQ(to_text(ParamValue::array({"a", "b\""})), R"(["a","b\""])");
  EXPECT_EQ(to_text(ParamValue::object({{"k", "v"}})), R"({"k":"v"})");
  EXPECT_EQ(to_text(ParamValue::array({"\xff"})), "[\"\xEF\xBF\xBD\"]");
}

}  // namespace
}  // namespace kiln::dag
