#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace kiln::executor {

// Threads that do jobs, so many at once; a thread is made when a job finds none free. add() and join() may be
// called from any thread.
template <class Job>
class WorkerPool {
 public:
  // `work` must not throw.
  WorkerPool(size_t most, std::function<void(Job)> work) : most_(most), work_(std::move(work)) {}
  ~WorkerPool() { join(); }

  void add(Job job) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(job));
      if (idle_ < waiting_.size() && threads_.size() < most_)
        threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }
    changed_.notify_one();
  }

  // Blocks until all that is being done is done. What still waits is not begun.
  void join() {
    std::vector<std::jthread> threads;
    {
      const std::lock_guard lock(mutex_);
      threads.swap(threads_);
      waiting_.clear();
    }
    for (std::jthread& thread : threads) thread.request_stop();
  }

 private:
  void work(const std::stop_token& stop) {
    for (;;) {
      std::unique_lock lock(mutex_);
      ++idle_;
      const bool found = changed_.wait(lock, stop, [this] { return !waiting_.empty(); });
      --idle_;
      if (!found) return;
      Job job = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      work_(std::move(job));
    }
  }

  const size_t most_;
  const std::function<void(Job)> work_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::deque<Job> waiting_;
  size_t idle_ = 0;
  std::vector<std::jthread> threads_;
};

}  // namespace kiln::executor
