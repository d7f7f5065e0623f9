#include <algorithm>

#include "base/text.h"
#include "dag/compiler.h"
#include "dag/resolve.h"

namespace kiln::dag {
namespace {

// As Reporter::choices(), but names may be short: few are to choose from. Bounded in the same way.
template <std::ranges::sized_range R, class Name>
std::string hint_for(const Reporter& reporter, const std::string& given, const R& among, Name name) {
  if (!reporter.may_suggest(std::ranges::size(among))) return "";
  std::vector<std::string> known;
  for (const auto& one : among) known.push_back(std::invoke(name, one));
  const auto near = nearest(given, known);
  return near ? "did you mean `" + *near + "`?" : "it has: " + list_of(known, ", ");
}

// What is wrong with a default, and what to do; empty when nothing is.
std::pair<std::string, std::string> default_problem(const Plan& plan, const Reporter& reporter,
                                                    std::string_view of, const std::string& text) {
  const std::string name(of.substr(0, of.find('.')));
  const std::string result(of.size() > name.size() ? of.substr(name.size() + 1) : "");
  const auto found = plan.index.find(name);
  if (found == plan.index.end())
    return {"the pipeline has no task `" + name + "`",
            hint_for(reporter, name, plan.tasks, &PlannedTask::name)};
  const PlannedTask& task = plan.tasks[found->second];
  const auto name_of = [](const ResultSpec& one) { return one.name.value; };
  if (const std::vector<ResultSpec>* declared = task.declared_results();
      declared != nullptr && std::ranges::find(*declared, result, name_of) == declared->end())
    return {"task `" + name + "` has no result `" + result + "`",
            hint_for(reporter, result, *declared, name_of)};
  const ParamType type = task.result_type(result);
  if (!parse_result(type, text))
    return {
        "the value is not the JSON of an " + std::string(to_string(type)),
        type == ParamType::Array ? R"(write it like '["a", "b"]')" : R"(write it like '{"key": "value"}')"};
  return {};
}

}  // namespace

std::string_view annotation_of(const Plan& plan, const PlannedTask& task, std::string_view name) {
  for (const Labels* annotations : {&task.settings->annotations, &task.annotations, &plan.annotations})
    if (const auto given = annotations->find(std::string(name)); given != annotations->end())
      return given->second;
  return {};
}

void Compiler::check_annotations() {
  const auto one_of = [&](std::string_view name, std::string_view given, Position at, std::string_view a,
                          std::string_view b) {
    if (!given.empty() && given != a && given != b)
      reporter_.error(at, "annotation " + std::string(name) + " is \"" + std::string(given) + "\"",
                      "it can be \"" + std::string(a) + "\" or \"" + std::string(b) + "\"");
  };
  const auto of_run = [&](std::string_view name) {
    const auto given = plan_.annotations.find(std::string(name));
    return given == plan_.annotations.end() ? std::string_view() : given->second;
  };
  one_of(annotation::kFailFast, of_run(annotation::kFailFast), {}, "true", "false");
  one_of(annotation::kConcurrency, of_run(annotation::kConcurrency), {}, "queue", "cancel-previous");
  one_of(annotation::kCache, of_run(annotation::kCache), {}, "inputs", "off");
  for (const PlannedTask& task : plan_.tasks) {
    const std::string_view cache = annotation_of(plan_, task, annotation::kCache);
    if (cache != of_run(annotation::kCache)) one_of(annotation::kCache, cache, task.at, "inputs", "off");
  }
  for (auto at = plan_.annotations.lower_bound(std::string(annotation::kResultDefault));
       at != plan_.annotations.end() && at->first.starts_with(annotation::kResultDefault); ++at) {
    const std::string_view of = std::string_view(at->first).substr(annotation::kResultDefault.size());
    const auto [problem, hint] = default_problem(plan_, reporter_, of, at->second);
    if (!problem.empty()) reporter_.error({}, "annotation " + at->first + ": " + problem, hint);
  }
}

}  // namespace kiln::dag
