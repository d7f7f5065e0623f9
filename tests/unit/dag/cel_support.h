#pragma once

#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <vector>

#include "dag/cel/environment.h"
#include "dag/cel/evaluate.h"

// An expression and what becomes of it, as text: tables of rows read best so.
namespace kiln::cel::test {

struct Row {
  std::string_view expression;
  std::string_view want;
};

// Values as an expression would write them; types as "int".
std::string show(const Value& value);

// "error: …" when it does not parse or fails.
std::string run(std::string_view text, const Activation& activation = Variables(),
                const EvaluateOptions& options = {});

// "type", or the problems as "line:column: message", one a line.
std::string types(std::string_view text, const Environment& environment = {});

inline void expect(const std::vector<Row>& rows, const Activation& activation = Variables()) {
  for (const Row& row : rows) EXPECT_EQ(run(row.expression, activation), row.want) << row.expression;
}

// Errors whose wording is not the point.
inline void expect_errors(const std::vector<std::string_view>& expressions) {
  for (const std::string_view text : expressions)
    EXPECT_TRUE(run(text).starts_with("error: ")) << text << " is " << run(text);
}

}  // namespace kiln::cel::test
