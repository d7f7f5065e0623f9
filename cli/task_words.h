#pragma once

#include <string>
#include <string_view>

#include "executor/driver.h"

// The lines in which `kiln run` says what became of a task; of the live list and of plain output alike.
namespace kiln::cli {

std::string started_words(const executor::RunRecord& run, const dag::Plan& plan);
// "✔ build  1.2 s", "✘ test  3 s  step unit exited with code 1", "↻ …" before another attempt.
std::string ended_words(const std::string& label, const executor::TaskRunState& state);
// Why a TaskRun was skipped, for people.
std::string_view skip_reason_words(std::string_view reason);
std::string skipped_words(const std::string& label, std::string_view reason);

// Of the last attempt.
std::string duration_words(const executor::TaskRunState& state);

}  // namespace kiln::cli
