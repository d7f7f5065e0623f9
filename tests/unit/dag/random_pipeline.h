#pragma once

#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dag/plan.h"

namespace kiln::dag::testing {

// A valid pipeline made from a seed, as documents of text, and what must follow from it.
class RandomPipeline {
 public:
  using Reason = std::pair<EdgeReason::Kind, std::string>;
  struct Task {
    std::string name;
    bool is_finally = false;
    bool has_matrix = false;
    bool inline_spec = true;
    bool shares = false;  // the workspace
    int retries = 0;
    std::map<std::string, std::set<Reason>> needs;  // by the name of the task it waits for
  };

  explicit RandomPipeline(unsigned seed);

  // The documents in an order of the seed's choosing; `run_after` is what "FROM" shall wait for besides.
  std::string text(unsigned order_seed, const std::map<std::string, std::string>& run_after = {}) const;
  const std::vector<Task>& tasks() const { return tasks_; }  // none needs one that stands after it
  const Task& task(const std::string& name) const;

 private:
  struct Spec {
    std::vector<std::string> params, matrix, when, declared, script;
  };
  enum class Shape { Chain, Fan, Any };

  unsigned below(unsigned n) { return std::uniform_int_distribution<unsigned>(0, n - 1)(random_); }
  bool one_in(unsigned n) { return below(n) == 0; }
  void add_task(size_t number, Shape shape);
  void add_finally(size_t number);
  void need(Task& task, Spec& spec, const Task& from);
  void use_result(Task& task, Spec& spec, const Task& from);
  void connect_finally(size_t first);
  void decorate(Task& task, Spec& spec);
  std::string task_text(size_t index, const std::string& extra) const;
  std::string task_spec(size_t index) const;

  std::mt19937 random_;
  std::vector<Task> tasks_;
  std::vector<Spec> specs_;
};

}  // namespace kiln::dag::testing
