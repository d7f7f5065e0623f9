#include "executor/cached_pod.h"

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "dag/substitution.h"

namespace kiln::executor {
namespace {

std::string text_of(const std::vector<dag::When>& whens) {
  std::string out;
  for (const dag::When& when : whens) {
    out += when.cel.value + "\n" + when.input.value + "\n" + when.op.value + "\n";
    for (const dag::Text& value : when.values) out += value.value + "\n";
  }
  return out;
}

constexpr std::string_view kCached = "CACHED";

void write_report(const fs::path& file, const CacheReport& report) {
  make_dirs(file.parent_path(), 0700);
  write_file(file, std::string(report.cached ? kCached : "RAN") + "\n" + join(report.reasons, "\n") + "\n",
             0600);
}

}  // namespace

void ask_for_cache(PodRequest& request, const dag::Plan& plan, const dag::PlannedTask& task,
                   const dag::ResolvedTask& resolved, dag::TaskRunIndex which) {
  if (dag::annotation_of(plan, task, dag::annotation::kCache) != "inputs") return;
  request.cached_as = plan.name + "/" + task.name;
  if (which.in_matrix) request.cached_combination = std::to_string(*which.in_matrix);
  auto& inputs = request.cache_inputs;
  for (const dag::Param& param : resolved.params)
    inputs["param " + param.name.value] = dag::to_text(param.value);
  for (const dag::Step& step : resolved.spec.steps)
    if (!step.when.empty()) inputs["step " + step.name.value + ": when"] = text_of(step.when);
  for (const dag::ResultSpec& result : resolved.spec.results)
    if (result.value) inputs["result " + result.name.value] = dag::to_text(*result.value);
}

CacheReport read_cache_report(const fs::path& file) {
  CacheReport out;
  for (const std::string& line : split(read_file(file, 1 << 20), '\n'))
    if (!line.empty()) out.reasons.push_back(line);
  out.cached = !out.reasons.empty() && out.reasons.front() == kCached;
  if (!out.reasons.empty()) out.reasons.erase(out.reasons.begin());
  return out;
}

Outcome run_cached(const TaskCache& cache, PodRunner& pods, const PodRequest& request,
                   std::string_view run_name, const fs::path& report,
                   const std::function<void(const std::string&)>& say, const std::function<Outcome()>& run,
                   std::stop_token stop) {
  std::optional<TaskInputs> inputs;
  CacheReport found;
  try {
    const std::vector<std::string> images = pods.image_digests(request.spec, std::move(stop));
    if (images.empty())
      found.reasons.emplace_back(
          "it runs on this machine's own root, which is no input that can be compared");
    else
      inputs = task_inputs(request.spec, images, request.cache_inputs);
    if (inputs) cache.set_aside_outputs(*inputs, request.cached_as, request.spec);
  } catch (const Error& error) {  // a pull that fails: the pod itself says so, in Tekton's words
    found.reasons.push_back("its inputs cannot be compared: " + error.full());
  }
  if (inputs) {
    if (auto kept = cache.find(*inputs)) {
      cache.restore(*kept, *inputs, request.cached_as, request.spec);
      found = {true, {std::string(kReusedFrom) + kept->run + ", whose inputs were the same"}};
      write_report(report, found);
      say("CACHED: " + found.reasons.front());
      kept->outcome.message = found.reasons.front();
      return std::move(kept->outcome);
    }
    found.reasons = cache.why_not(*inputs, request.cached_as, request.cached_combination);
  }
  write_report(report, found);
  Outcome outcome = run();
  if (!inputs || !outcome.succeeded) return outcome;
  try {
    cache.keep(*inputs, request.cached_as, run_name, outcome, request.spec, request.cached_combination);
  } catch (const Error& error) {
    say("note: what the task left is not kept for the next run: " + error.full());
  } catch (const fs::filesystem_error& error) {
    say(std::string("note: what the task left is not kept for the next run: ") + error.what());
  }
  return outcome;
}

}  // namespace kiln::executor
