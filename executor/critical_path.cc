#include "executor/critical_path.h"

#include <algorithm>
#include <optional>

namespace kiln::executor {
namespace {

Time first_start(const TaskState& task) {
  const auto start = [](const TaskRunState& run) {
    return run.retries.empty() ? run.started : run.retries.front().started;
  };
  if (task.runs.empty()) return start(task);
  Time first = Time::max();
  for (const TaskRunState& run : task.runs)
    if (start(run) != Time{}) first = std::min(first, start(run));
  return first == Time::max() ? task.started : first;
}

bool has_run(const TaskState& task) {
  return task.phase != Phase::Skipped && is_terminal(task.phase) && first_start(task) != Time{};
}

class Path {
 public:
  Path(const dag::Plan& plan, const State& state) : plan_(plan), state_(state) {}

  std::vector<PathLink> find() {
    std::optional<size_t> at = last_of(0, state_.tasks.size());
    std::vector<PathLink> links;
    while (at) {
      const TaskState& task = state_.tasks[*at];
      const std::optional<size_t> before = predecessor(*at);
      const Time could_start = before ? state_.tasks[*before].finished : state_.started;
      if (has_run(task))
        links.push_back({*at, std::max<Duration>(first_start(task) - could_start, {}),
                         task.finished - first_start(task)});
      at = before;
    }
    std::ranges::reverse(links);
    return links;
  }

 private:
  void consider(size_t task, std::optional<size_t>& last) const {
    if (!last || state_.tasks[task].finished > state_.tasks[*last].finished) last = task;
  }
  std::optional<size_t> last_of(size_t begin, size_t end) const {
    std::optional<size_t> last;
    for (size_t i = begin; i < end; ++i)
      if (has_run(state_.tasks[i])) consider(i, last);
    return last;
  }
  // A task that was skipped is passed through: what it waited for was waited for.
  std::optional<size_t> predecessor(size_t task) const {
    if (plan_.tasks[task].is_finally) return last_of(0, plan_.dag_size);
    std::optional<size_t> last;
    for (const dag::Edge& edge : plan_.tasks[task].needs) consider(edge.from, last);
    return last;
  }

  const dag::Plan& plan_;
  const State& state_;
};

}  // namespace

std::vector<PathLink> critical_path(const dag::Plan& plan, const State& state) {
  return Path(plan, state).find();
}

}  // namespace kiln::executor
