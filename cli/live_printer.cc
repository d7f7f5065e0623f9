#include "cli/live_printer.h"

#include "cli/task_words.h"

namespace kiln::cli {

LivePrinter::LivePrinter() {
  list_.started = system_clock().now();
  screen_.emplace([this](TerminalSize size) {
    const std::lock_guard lock(mutex_);
    return draw(list_, system_clock().now(), size);
  });
}

template <class Change>
void LivePrinter::update(Change change) {
  {
    const std::lock_guard lock(mutex_);
    change(list_);
  }
  screen_->changed();
}

void LivePrinter::run_started(const executor::RunRecord& run, const dag::Plan& plan) {
  screen_->print_above(started_words(run, plan));
  update([&](LiveList& list) {
    list.run = run.id;
    list.started = run.created;
    list.tasks = plan.tasks.size();
  });
}

void LivePrinter::task_started(const executor::RunningTask& task) {
  LiveList::Task row;
  row.label = task.label;
  if (task.attempt > 0) row.note = "retry " + std::to_string(task.attempt);
  row.started = system_clock().now();
  update([&](LiveList& list) { list.running.push_back(std::move(row)); });
}

void LivePrinter::step_started(const executor::RunningTask& task, const steps::StepSpec& step) {
  update([&](LiveList& list) {
    LiveList::Task* row = list.find(task.label);
    if (row == nullptr) return;
    row->step = step.name;
    row->tail.clear();
    row->partial.clear();
  });
}

void LivePrinter::output(const executor::RunningTask& task, const steps::StepSpec&, bool,
                         std::string_view bytes) {
  update([&](LiveList& list) {
    if (LiveList::Task* row = list.find(task.label)) add_output(*row, bytes);
  });
}

void LivePrinter::task_finished(const executor::RunningTask& task, const executor::TaskRunState& state) {
  screen_->print_above(ended_words(task.label, state));
  update([&](LiveList& list) {
    std::erase_if(list.running, [&](const LiveList::Task& row) { return row.label == task.label; });
    if (!is_terminal(state.phase) || task.label.find('/') != std::string::npos) return;
    ++list.ended;
    if (state.phase == executor::Phase::Failed) ++list.failed;
  });
}

void LivePrinter::task_skipped(const executor::RunningTask& task, std::string_view reason) {
  screen_->print_above(skipped_words(task.label, reason));
  update([&](LiveList& list) { list.ended += task.label.find('/') == std::string::npos; });
}

}  // namespace kiln::cli
