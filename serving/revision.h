#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serving/instance.h"

namespace kiln::serving {

// A revision at work: its instances, the requests that wait for one, and how many there should be. Starts from
// zero on the first request and returns to zero when idle. Belongs to the server's I/O thread.
class Revision : public std::enable_shared_from_this<Revision> {
 public:
  Revision(InstanceSpec spec, steps::SandboxRuntime& runtime, asio::io_context& io, asio::thread_pool& pool);

  const std::string& name() const { return spec_.revision; }
  const ContainerSettings& settings() const { return spec_.settings; }

  // A request's claim on an instance; released at destruction.
  class Lease {
   public:
    Lease(std::shared_ptr<Revision> revision, std::shared_ptr<Instance> instance);
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    Instance& instance() const { return *instance_; }

   private:
    std::shared_ptr<Revision> revision_;
    std::shared_ptr<Instance> instance_;
  };

  // Waits for an instance with room, starting one if there is none. Throws Unavailable when too many wait
  // ("pending request queue full") or the instance cannot be started, TimedOut after the revision's timeout.
  Awaitable<Lease> acquire();

  // Starts a first instance and waits until it is ready: what makes a revision Ready. Throws what went wrong.
  Awaitable<void> start_first();

  // No traffic goes here any more: instances stop as soon as their requests are done.
  void retire();
  // Traffic comes back to a retired revision.
  void revive() { retired_ = false; }

  int instances() const { return static_cast<int>(instances_.size()); }
  // Stops all instances, letting requests finish for up to `grace`.
  Awaitable<void> shut_down(Duration grace);

 private:
  Awaitable<void> start_instance();
  Awaitable<void> watch(std::shared_ptr<Instance> instance);
  Awaitable<void> sweep();
  void start_in_background();
  void stop_in_background(std::shared_ptr<Instance> instance, Duration grace);
  std::shared_ptr<Instance> pick();
  void wake_waiters();
  void arrange_sweep();
  Duration idle_limit() const;

  InstanceSpec spec_;
  steps::SandboxRuntime& runtime_;
  asio::io_context& io_;
  asio::thread_pool& pool_;
  std::vector<std::shared_ptr<Instance>> instances_;
  std::deque<std::shared_ptr<asio::steady_timer>> waiting_;
  std::exception_ptr start_failure_;  // of the last attempt, for those who waited for it
  std::chrono::steady_clock::time_point last_used_;
  int starting_ = 0;
  bool sweeping_ = false;
  bool retired_ = false;
};

}  // namespace kiln::serving
