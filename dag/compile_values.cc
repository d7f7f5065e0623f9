#include <algorithm>
#include <unordered_set>

#include "base/text.h"
#include "dag/compiler.h"
#include "dag/param_problems.h"
#include "dag/params.h"

namespace kiln::dag {
namespace {

std::string items_hint(std::string_view written, size_t length) {
  const std::string name(written.substr(0, written.find('[')));
  return name.substr(2) + (length == 0   ? " has no items"
                           : length == 1 ? " has one item: " + name + "[0])"
                                         : " has " + std::to_string(length) + " items: the last is " + name +
                                               "[" + std::to_string(length - 1) + "])");
}

bool is_array(const ParamSpec& spec) {
  return spec.type == ParamType::Array;
}

bool is_open(const ParamValue& value) {
  return may_have_variables(value.text) ||
         std::ranges::any_of(value.items, [](const std::string& item) { return may_have_variables(item); });
}

// q when the value is $(params.q) or $(params.q[*]), else "".
std::string whole_param(const ParamValue& value) {
  const std::vector<Variable> found = find_variables(value.text);
  if (found.size() != 1 || found[0].begin != 0 || found[0].end != value.text.size()) return {};
  const Reference& reference = found[0].reference;
  return reference.path[0] == "params" && reference.path.size() == 2 &&
                 reference.suffix != Reference::Suffix::Index
             ? reference.path[1]
             : "";
}

}  // namespace

void Compiler::check_value(const ParamSpec& spec, const Param& given, Reporter& reporter) {
  if (given.value.type != spec.type) {
    reporter.error(given.at,
                   "param types don't match the user-specified type: [" + spec.name.value +
                       "]: " + std::string(to_string(spec.type)) + " is declared, " +
                       std::string(to_string(given.value.type)) + " is given",
                   spec.type == ParamType::Array    ? "write a list: [\"…\"]"
                   : spec.type == ParamType::Object ? "write a mapping: {KEY: …}"
                                                    : "write a string, or declare the param with `type: " +
                                                          std::string(to_string(given.value.type)) + "`");
    return;
  }
  check_enum(spec, given.value.text, given.at, reporter);
  for (const std::string& key : missing_keys(spec, given.value))
    reporter.error(given.at, missing_keys_problem(spec, {key}), "add `" + key + ": …`");
}

void Compiler::check_enum(const ParamSpec& spec, const std::string& value, Position at, Reporter& reporter) {
  if (may_have_variables(value)) return;
  if (std::string problem = enum_problem(spec, value); !problem.empty())
    reporter.error(at, std::move(problem), choice_of(spec));
}

// An object that nobody gives, whose default does not have all of its keys.
void Compiler::check_default_keys(const ParamSpec& spec, Position at, Reporter& reporter, std::string hint) {
  if (!spec.default_value) return;
  if (const auto missing = missing_keys(spec, *spec.default_value); !missing.empty())
    reporter.error(at, missing_keys_problem(spec, missing), std::move(hint));
}

// The values that a matrix gives, as far as they are known: those that the document has itself, and unless
// they may still change those of the pipeline's params.
void Compiler::check_matrix_values(const Matrix& written, const PlannedTask& task) {
  const Matrix& matrix = lenient_.values ? written : *task.matrix;
  std::unordered_map<std::string_view, const ParamSpec*> specs;
  for (const ParamSpec& spec : task.declared_params())
    if (!spec.enumeration.empty()) specs.emplace(spec.name.value, &spec);
  if (specs.empty()) return;
  const auto check = [&](const Param& param) {
    const auto spec = specs.find(param.name.value);
    if (spec == specs.end()) return;
    check_enum(*spec->second, param.value.text, param.at, reporter_);
    for (const std::string& item : param.value.items) check_enum(*spec->second, item, param.at, reporter_);
  };
  for (const Param& param : matrix.params) check(param);
  for (const MatrixInclude& include : matrix.include)
    for (const Param& param : include.params) check(param);
}

void Compiler::check_past_end(std::string_view text, Position at, Reporter& reporter) {
  for_each_past_end(text, pipeline_lengths_, [&](std::string_view written, size_t length) {
    reporter.error(reporter.find(at, written), past_end_problem({std::string(written)}),
                   items_hint(written, length));
  });
}

// The items that a Task's texts ask for, of the arrays that it is given. Where values may still change only
// what the document itself gives is known.
void Compiler::check_items(const PipelineTask& from, const PlannedTask& task) {
  if (!task.spec) return;
  ArrayLengths lengths;
  if (lenient_.values) {
    if (task.inline_spec) lengths = pipeline_lengths_;
    for (const Param& param : from.params) {
      lengths.erase(param.name);
      const auto handed_on = pipeline_lengths_.find(whole_param(param.value));
      if (handed_on != pipeline_lengths_.end())
        lengths[param.name] = handed_on->second;
      else if (!is_open(param.value))
        note_length(lengths, param.name, param.value);
    }
  } else {
    const bool propagates = task.inline_spec && !pipeline_lengths_.empty();
    if (!propagates && std::ranges::none_of(task.spec->params, is_array)) return;
    std::vector<Param> given = task.params;
    if (propagates) lengths = pipeline_lengths_;
    std::unordered_set<std::string_view> passed;
    for (const Param& param : task.params) passed.insert(param.name.value);
    for (const ParamSpec& spec : task.spec->params) {
      const ParamValue* value = param_values_.exact({"params", spec.name.value});
      if (task.inline_spec && value != nullptr && !passed.contains(spec.name.value))
        given.push_back({spec.name, *value, {}});
    }
    for (const Param& param : evaluate_params(task.spec->params, given, param_values_))
      note_length(lengths, param.name, param.value);
  }
  if (from.matrix)
    for (const Param& param : from.matrix->params) lengths.erase(param.name);  // one item at a time
  Reporter reporter(catalog_.documents(), task.spec_file, diagnostics_);
  for_each_past_end(*task.spec, lengths, [&](std::string_view written, Position at, size_t length) {
    reporter.error(reporter.find(at, written), past_end_problem({std::string(written)}),
                   items_hint(written, length));
  });
}

}  // namespace kiln::dag
