#include "tests/unit/executor/random_plan.h"

namespace kiln::executor::testing {
namespace {

class Maker {
 public:
  explicit Maker(std::mt19937& random) : random_(random) {}

  RandomPlan make() {
    const size_t n = 1 + random_() % 9, finals = random_() % 3;
    for (size_t i = 0; i < n; ++i) out_.tasks.push_back(dag_task(i));
    for (size_t i = 0; i < finals; ++i) out_.tasks.push_back(finally_task(n));
    out_.spec = "  tasks:\n";
    for (size_t i = 0; i < out_.tasks.size(); ++i) {
      if (i == n) out_.spec += "  finally:\n";
      out_.spec +=
          "  - {name: " + text_of(i) + ", taskSpec: {" +
          (out_.tasks[i].fail_fast ? "metadata: {annotations: {kiln.dev/fail-fast: \"true\"}}, " : "") +
          "results: [{name: r}], steps: [{name: s, image: i, script: x}]}}\n";
    }
    if (chance(30)) out_.run_spec = "  timeouts: {pipeline: 5m, tasks: 3m}\n";
    out_.annotations = "{kiln.dev/x: z" + annotations_ + "}";
    return std::move(out_);
  }

 private:
  bool chance(unsigned percent) { return random_() % 100 < percent; }

  RandomTask dag_task(size_t i) {
    RandomTask one;
    for (size_t k = 0; k < i; ++k) {
      if (chance(25)) one.after.push_back(k);
      if (chance(15)) one.uses.push_back(k);
    }
    if (i > 0 && chance(25))
      if (const size_t k = random_() % i; out_.tasks[k].combinations == 0) one.when.push_back(k);
    one.divides = chance(15);
    if (chance(25)) one.combinations = 1 + random_() % 3;
    one.fail_fast = one.combinations > 0 && chance(40);
    if (chance(20))
      one.retries = 2;
    else
      one.ignore = chance(25);
    one.has_default = chance(20);
    one.has_timeout = chance(20);
    return one;
  }

  RandomTask finally_task(size_t dag) {
    RandomTask one;
    one.is_finally = true;
    if (chance(40)) one.when.push_back(random_() % dag);
    if (chance(30)) one.uses.push_back(random_() % dag);
    if (chance(20)) one.retries = 1;
    one.has_timeout = chance(20);
    return one;
  }

  static std::string name(size_t i) { return "t" + std::to_string(i); }

  std::string text_of(size_t i) {
    const RandomTask& one = out_.tasks[i];
    std::string head = name(i), after, params;
    if (one.combinations > 0) {
      static const char* kValues[] = {"[x]", "[x, x2]", "[x, x2, x3]"};
      head += std::string(", matrix: {params: [{name: m, value: ") + kValues[one.combinations - 1] + "}]}";
    }
    for (const size_t k : one.after) after += name(k) + ", ";
    if (!after.empty()) head += ", runAfter: [" + after + "]";
    for (const size_t k : one.uses)
      params += "{name: p" + std::to_string(k) + ", value: \"$(tasks." + name(k) + ".results.r" +
                (out_.tasks[k].combinations > 0 ? "[*]" : "") + ")\"}, ";
    if (!params.empty()) head += ", params: [" + params + "]";
    for (const size_t k : one.when)
      head += one.divides ? ", when: [{cel: \"1 / int('$(tasks." + name(k) + ".results.r)') == 1\"}]"
                          : ", when: [{input: $(tasks." + name(k) +
                                (one.is_finally ? ".status), operator: in, values: [Succeeded]}]"
                                                : ".results.r), operator: in, values: [\"1\"]}]");
    if (one.retries > 0) head += ", retries: " + std::to_string(one.retries);
    if (one.ignore) head += ", onError: continue";
    if (one.has_timeout) head += ", timeout: 30s";
    if (one.has_default)
      annotations_ +=
          ", kiln.dev/result-default." + name(i) + ".r: '" + (one.combinations > 0 ? "[\"1\"]" : "1") + "'";
    return head;
  }

  std::mt19937& random_;
  RandomPlan out_;
  std::string annotations_;
};

}  // namespace

RandomPlan random_plan(std::mt19937& random) {
  return Maker(random).make();
}

}  // namespace kiln::executor::testing
