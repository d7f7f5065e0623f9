#include "serving/revision.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <spdlog/spdlog.h>

#include "base/error.h"

namespace kiln::serving {
namespace {

// Sandboxes that one revision makes at the same time: a burst must not take the whole machine, and by the
// time these are up others may have become free.
constexpr int kStartsAtOnce = 8;

// An instance that lived no longer than this is not replaced for the sake of min-scale alone.
constexpr Duration kCrashLoopPause = std::chrono::seconds(1);

using SteadyClock = std::chrono::steady_clock;

}  // namespace

// A request in the queue. Its coroutine sleeps on the timer until it is given a lease or a failure.
struct Revision::Waiter {
  Waiter(asio::io_context& io, SteadyClock::time_point give_up) : timer(io, give_up) {}
  asio::steady_timer timer;
  std::optional<Lease> lease;
  std::exception_ptr failure;
};

Revision::Lease::Lease(std::shared_ptr<Revision> revision, std::shared_ptr<Instance> instance)
    : revision_(std::move(revision)), instance_(std::move(instance)) {
  ++instance_->in_flight;
}

Revision::Lease::~Lease() {
  if (instance_) revision_->release(*instance_);
}

Revision::Revision(InstanceSpec spec, RevisionOptions options, steps::SandboxRuntime& runtime,
                   asio::io_context& io, asio::thread_pool& pool)
    : spec_(std::move(spec)),
      options_(std::move(options)),
      runtime_(runtime),
      io_(io),
      pool_(pool),
      background_(io),
      last_used_(SteadyClock::now()),
      sweep_timer_(io) {}

// The least busy instance with room.
std::shared_ptr<Instance> Revision::pick() const {
  const std::shared_ptr<Instance>* best = nullptr;
  for (const auto& instance : instances_) {
    const bool full = spec_.settings.concurrency > 0 && instance->in_flight >= spec_.settings.concurrency;
    if (!full && (!best || instance->in_flight < (*best)->in_flight)) best = &instance;
  }
  return best ? *best : nullptr;
}

Awaitable<Revision::Lease> Revision::acquire() {
  const auto self = shared_from_this();
  if (draining_ || closed_) throw Error(ErrorKind::Unavailable, "revision " + name() + " is shutting down");
  last_used_ = SteadyClock::now();
  // Whoever waits got there first; while somebody does, there is no room anyway.
  if (auto instance = pick()) co_return Lease(self, std::move(instance));
  if (waiting_.size() >= options_.waiting_limit)
    throw Error(ErrorKind::Unavailable, "pending request queue full");

  const auto waiter = std::make_shared<Waiter>(io_, last_used_ + spec_.settings.timeout);
  waiting_.push_back(waiter);
  grow();
  boost::system::error_code ignored;
  co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (waiter->lease) co_return std::move(*waiter->lease);
  if (waiter->failure) std::rethrow_exception(waiter->failure);
  std::erase(waiting_, waiter);
  throw Error(ErrorKind::TimedOut, "no instance of " + name() + " became free in time");
}

void Revision::release(Instance& instance) {
  --instance.in_flight;
  if (closed_) return;
  last_used_ = SteadyClock::now();
  if (!waiting_.empty()) serve_waiters();
  arrange_sweep();
}

// Gives free room to those who wait, in their order, and starts more if they need more.
void Revision::serve_waiters() {
  while (!waiting_.empty()) {
    auto instance = pick();
    if (!instance) break;
    const auto waiter = std::move(waiting_.front());
    waiting_.pop_front();
    waiter->lease.emplace(shared_from_this(), std::move(instance));
    waiter->timer.cancel();
  }
  grow();
}

void Revision::fail_waiters(const std::exception_ptr& failure) {
  for (const auto& waiter : std::exchange(waiting_, {})) {
    waiter->failure = failure;
    waiter->timer.cancel();
  }
}

// Starts instances: one from zero, beyond that as many as it takes for those who wait, and at least
// min-scale.
void Revision::grow() {
  const auto wanted = [this] {
    const int total = instances() + coming();
    if (closed_ || starting_ >= kStartsAtOnce) return false;
    if (spec_.settings.max_scale > 0 && total >= spec_.settings.max_scale) return false;
    if (!waiting_.empty() && total == 0) return true;
    if (spec_.settings.concurrency > 0 &&
        waiting_.size() > static_cast<size_t>(coming()) * static_cast<size_t>(spec_.settings.concurrency))
      return true;
    // What ends as soon as it has started is not started again and again.
    return !retired_ && !draining_ && total < spec_.settings.min_scale &&
           last_added_ != SteadyClock::time_point{} &&
           (instances() > 0 || SteadyClock::now() - last_added_ > kCrashLoopPause);
  };
  while (wanted()) {
    ++starting_;
    in_background(start_instance());
  }
}

// Counted in starting_ by the caller.
Awaitable<void> Revision::start_instance() {
  std::shared_ptr<Instance> instance;
  std::optional<Error> failure;
  try {
    auto make = [this] { return Instance::start(spec_, runtime_); };
    instance = co_await on_pool(pool_, make);
    co_await instance->until_ready(spec_.settings.progress_deadline, stop_.get_token());
  } catch (const Error& error) {
    failure = error;
  } catch (const std::exception& error) {
    failure = Error(ErrorKind::Infrastructure, error.what());
  }
  --starting_;
  if (!failure && closed_) failure = Error(ErrorKind::Cancelled, "revision " + name() + " is shutting down");
  if (!failure) {
    add(std::move(instance));
    co_return;
  }
  // Those who wait get the answer at once when nothing else is on its way.
  if (instances_.empty() && coming() == 0)
    fail_waiters(std::make_exception_ptr(Error(ErrorKind::Unavailable, failure->full(), failure->hint())
                                             .because("revision " + name() + " does not start")));
  if (instance) dispose_in_background(std::move(instance));
  arrange_sweep();
  throw *failure;
}

void Revision::add(std::shared_ptr<Instance> instance) {
  in_background(watch(instance));
  instances_.push_back(std::move(instance));
  last_used_ = last_added_ = SteadyClock::now();
  serve_waiters();
  arrange_sweep();
}

Awaitable<void> Revision::start_first() {
  const auto self = shared_from_this();
  if (closed_ || draining_) throw Error(ErrorKind::Cancelled, "revision " + name() + " is shutting down");
  if (!instances_.empty()) co_return;
  ++starting_;
  co_await start_instance();
}

// An instance that ends by itself is taken out at once; the next request starts another.
Awaitable<void> Revision::watch(std::shared_ptr<Instance> instance) {
  const steps::ExitStatus status = co_await instance->until_ended();
  if (std::erase(instances_, instance) == 0) co_return;
  spdlog::warn("{}: {}", name(), describe_exit(status));
  dispose_in_background(std::move(instance));
  grow();
}

void Revision::suspect(const std::shared_ptr<Instance>& instance) {
  if (closed_ || std::erase(instances_, instance) == 0) return;
  ++suspects_;
  in_background(recheck(instance));
}

// Back in line when it accepts connections; otherwise it ends.
Awaitable<void> Revision::recheck(std::shared_ptr<Instance> instance) {
  std::optional<Error> failure;
  try {
    co_await instance->until_ready(options_.recheck, stop_.get_token());
  } catch (const Error& error) {
    failure = error;
  }
  --suspects_;
  if (!failure && !closed_) {
    instances_.push_back(std::move(instance));
    serve_waiters();
    arrange_sweep();
    co_return;
  }
  if (!closed_) spdlog::warn("{}: {}", name(), failure->full());
  dispose_in_background(std::move(instance));
  grow();
}

// Stops an instance and takes its sandbox down, which blocks for a moment.
Awaitable<void> Revision::dispose(std::shared_ptr<Instance> instance) {
  co_await instance->stop(options_.stop_grace);
  auto destroy = [&instance] { instance.reset(); };
  co_await on_pool(pool_, destroy);
}

void Revision::in_background(Awaitable<void> task) {
  background_.start(name(), std::move(task), shared_from_this());
}

void Revision::dispose_in_background(std::shared_ptr<Instance> instance) {
  in_background(dispose(std::move(instance)));
}

bool Revision::busy() const {
  return !waiting_.empty() || starting_ > 0 ||
         std::ranges::any_of(instances_, [](const auto& i) { return i->in_flight > 0; });
}

Duration Revision::idle_limit() const {
  if (retired_) return {};
  return options_.window.value_or(spec_.settings.window) + options_.scale_to_zero_grace;
}

void Revision::arrange_sweep() {
  if (sweeping_ || closed_ || instances_.empty()) return;
  sweeping_ = true;
  in_background(sweep());
}

// Sleeps until the revision has been idle for long enough, then stops what it may.
Awaitable<void> Revision::sweep() {
  boost::system::error_code ignored;
  for (;;) {
    const size_t keep = retired_ ? 0 : static_cast<size_t>(spec_.settings.min_scale);
    if (closed_ || instances_.size() <= keep) break;
    if (busy()) break;  // the end of a request arranges the next sweep
    const auto due = last_used_ + idle_limit();
    if (SteadyClock::now() >= due) {
      while (instances_.size() > keep) {
        auto instance = std::move(instances_.back());
        instances_.pop_back();
        dispose_in_background(std::move(instance));
      }
      break;
    }
    sweep_timer_.expires_at(due);
    co_await sweep_timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  sweeping_ = false;
}

void Revision::retire() {
  retired_ = true;
  sweep_timer_.cancel();  // one that sleeps for the idle window would come too late
  arrange_sweep();
}

void Revision::revive() {
  retired_ = false;
  last_used_ = SteadyClock::now();
  grow();
}

void Revision::abandon() {
  draining_ = closed_ = true;
  stop_.request_stop();
  sweep_timer_.cancel();
}

Awaitable<void> Revision::shut_down(Duration grace) {
  const auto self = shared_from_this();
  draining_ = true;
  asio::steady_timer timer(io_);
  const auto give_up = SteadyClock::now() + grace;
  const auto under_way = [this] {
    return !waiting_.empty() ||
           std::ranges::any_of(instances_, [](const auto& i) { return i->in_flight > 0; });
  };
  while (under_way() && SteadyClock::now() < give_up) {
    timer.expires_after(std::chrono::milliseconds(2));
    co_await timer.async_wait(asio::use_awaitable);
  }
  abandon();
  fail_waiters(
      std::make_exception_ptr(Error(ErrorKind::Unavailable, "revision " + name() + " is shutting down")));
  for (auto& instance : std::exchange(instances_, {})) dispose_in_background(std::move(instance));
  co_await background_.finished();
}

}  // namespace kiln::serving
