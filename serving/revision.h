#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "serving/background.h"
#include "serving/instance.h"

namespace kiln::serving {

struct RevisionOptions {
  Duration scale_to_zero_grace = std::chrono::seconds(30);  // after the window, until the last instances stop
  Duration stop_grace = std::chrono::seconds(10);           // between SIGTERM and SIGKILL
  Duration recheck = std::chrono::seconds(2);  // for an instance that dropped a request to accept again
  std::optional<Duration> window;              // instead of what the template says
  size_t waiting_limit = 10'000;               // requests that wait for an instance, as Knative's activator
};

// A revision at work: its instances, the requests that wait for one, and how many there should be. Starts
// from zero on the first request and returns to zero when idle. Belongs to the server's I/O thread.
class Revision : public std::enable_shared_from_this<Revision> {
 public:
  Revision(InstanceSpec spec, RevisionOptions options, steps::SandboxRuntime& runtime, asio::io_context& io,
           asio::thread_pool& pool);

  const std::string& name() const { return spec_.revision; }
  const ContainerSettings& settings() const { return spec_.settings; }
  const Digest& image_digest() const { return spec_.image.descriptor.digest; }

  // A request's claim on an instance; released at destruction.
  class Lease {
   public:
    Lease(std::shared_ptr<Revision> revision, std::shared_ptr<Instance> instance);
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    Instance& instance() const { return *instance_; }
    // The instance dropped this request or refused it: no others go there until it has been looked at.
    void suspect() { revision_->suspect(instance_); }

   private:
    std::shared_ptr<Revision> revision_;
    std::shared_ptr<Instance> instance_;
  };

  // Waits for an instance with room, starting one if there is none; first come, first served. Throws
  // Unavailable when too many wait ("pending request queue full"), when no instance can be started, or after
  // shut_down; TimedOut after the revision's timeout.
  Awaitable<Lease> acquire();

  // Starts a first instance and waits until it is ready: what makes a revision Ready. Throws what went wrong,
  // Cancelled after shut_down.
  Awaitable<void> start_first();

  // No traffic goes here any more: instances stop as soon as their requests are done.
  void retire();
  // Traffic comes back to a retired revision.
  void revive();

  int instances() const { return static_cast<int>(instances_.size()); }

  // Takes no more requests, lets those it has finish for up to `grace`, then stops all instances. When it
  // resolves, nothing of this revision runs any more but requests that were cut off. Final.
  Awaitable<void> shut_down(Duration grace);
  // The same without a loop to wait on: for the end of a server that did not shut down in order.
  void abandon();

 private:
  struct Waiter;

  Awaitable<void> start_instance();
  Awaitable<void> watch(std::shared_ptr<Instance> instance);
  Awaitable<void> recheck(std::shared_ptr<Instance> instance);
  Awaitable<void> sweep();
  Awaitable<void> dispose(std::shared_ptr<Instance> instance);
  void in_background(Awaitable<void> task);
  void dispose_in_background(std::shared_ptr<Instance> instance);
  void suspect(const std::shared_ptr<Instance>& instance);
  void release(Instance& instance);
  void add(std::shared_ptr<Instance> instance);
  std::shared_ptr<Instance> pick() const;
  void serve_waiters();
  void fail_waiters(const std::exception_ptr& failure);
  void grow();
  void arrange_sweep();
  bool busy() const;
  int coming() const { return starting_ + suspects_; }
  Duration idle_limit() const;

  const InstanceSpec spec_;
  const RevisionOptions options_;
  steps::SandboxRuntime& runtime_;
  asio::io_context& io_;
  asio::thread_pool& pool_;
  Background background_;
  std::vector<std::shared_ptr<Instance>> instances_;  // ready ones
  std::deque<std::shared_ptr<Waiter>> waiting_;
  std::chrono::steady_clock::time_point last_used_, last_added_;
  asio::steady_timer sweep_timer_;
  std::stop_source stop_;
  int starting_ = 0, suspects_ = 0;
  bool sweeping_ = false;
  bool retired_ = false;
  bool draining_ = false, closed_ = false;
};

}  // namespace kiln::serving
