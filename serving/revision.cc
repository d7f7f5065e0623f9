#include "serving/revision.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>

#include "base/error.h"

namespace kiln::serving {
namespace {

constexpr size_t kWaitingLimit = 10'000;  // as Knative's activator
constexpr Duration kStartDeadline = std::chrono::seconds(600);
constexpr Duration kStopGrace = std::chrono::seconds(10);
constexpr Duration kScaleToZeroGrace = std::chrono::seconds(30);

}  // namespace

Revision::Lease::Lease(std::shared_ptr<Revision> revision, std::shared_ptr<Instance> instance)
    : revision_(std::move(revision)), instance_(std::move(instance)) {
  ++instance_->in_flight;
}

Revision::Lease::~Lease() {
  if (!instance_) return;
  --instance_->in_flight;
  revision_->last_used_ = std::chrono::steady_clock::now();
  revision_->wake_waiters();
  revision_->arrange_sweep();
}

Revision::Revision(InstanceSpec spec, steps::SandboxRuntime& runtime, asio::io_context& io, asio::thread_pool& pool)
    : spec_(std::move(spec)), runtime_(runtime), io_(io), pool_(pool), last_used_(std::chrono::steady_clock::now()) {}

std::shared_ptr<Instance> Revision::pick() {
  std::shared_ptr<Instance> best;
  for (const auto& instance : instances_) {
    const bool full = spec_.settings.concurrency > 0 && instance->in_flight >= spec_.settings.concurrency;
    if (!full && (!best || instance->in_flight < best->in_flight)) best = instance;
  }
  return best;
}

Awaitable<Revision::Lease> Revision::acquire() {
  const auto self = shared_from_this();
  const auto give_up = std::chrono::steady_clock::now() + spec_.settings.timeout;
  for (;;) {
    last_used_ = std::chrono::steady_clock::now();
    if (auto instance = pick()) co_return Lease(self, std::move(instance));
    if (waiting_.size() >= kWaitingLimit) throw Error(ErrorKind::Unavailable, "pending request queue full");
    const int total = instances() + starting_;
    const bool may_grow = spec_.settings.max_scale == 0 || total < spec_.settings.max_scale;
    // One start at a time from zero; beyond that, one for each instance's worth of waiting requests.
    const int per_instance = std::max(1, spec_.settings.concurrency);
    if (may_grow && (total == 0 || static_cast<int>(waiting_.size()) >= starting_ * per_instance)) start_in_background();

    auto timer = std::make_shared<asio::steady_timer>(io_, give_up);
    waiting_.push_back(timer);
    boost::system::error_code cancelled;
    co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    std::erase(waiting_, timer);
    if (!cancelled) throw Error(ErrorKind::TimedOut, "no instance of " + name() + " became free in time");
    if (start_failure_ && instances_.empty() && starting_ == 0) std::rethrow_exception(start_failure_);
  }
}

void Revision::wake_waiters() {
  // All of them: each looks for itself, and those that find nothing wait again, in order.
  auto waiting = std::exchange(waiting_, {});
  for (const auto& timer : waiting) timer->cancel();
}

void Revision::start_in_background() {
  start_failure_ = nullptr;
  asio::co_spawn(
      io_,
      [](std::shared_ptr<Revision> self) -> Awaitable<void> {
        try {
          co_await self->start_instance();
        } catch (const Error& error) {
          spdlog::error("{}: {}", self->name(), error.full());
        }
      }(shared_from_this()),
      asio::detached);
}

Awaitable<void> Revision::start_instance() {
  const auto self = shared_from_this();
  ++starting_;
  std::exception_ptr failure;
  std::shared_ptr<Instance> instance;
  try {
    auto make = [this] { return Instance::start(spec_, runtime_); };
    instance = co_await on_pool(pool_, make);
    co_await instance->until_ready(kStartDeadline);
  } catch (const Error&) {
    failure = std::current_exception();
  } catch (const std::exception& error) {
    failure = std::make_exception_ptr(Error(ErrorKind::Infrastructure, error.what()));
  }
  --starting_;
  if (!failure) {
    instances_.push_back(instance);
    asio::co_spawn(io_, watch(instance), asio::detached);
    last_used_ = std::chrono::steady_clock::now();
    arrange_sweep();
  }
  start_failure_ = failure;
  wake_waiters();
  if (failure) std::rethrow_exception(failure);
}

Awaitable<void> Revision::start_first() {
  if (instances_.empty()) co_await start_instance();
}

// An instance that ends by itself is taken out at once; the next request starts another.
Awaitable<void> Revision::watch(std::shared_ptr<Instance> instance) {
  const auto self = shared_from_this();
  const steps::ExitStatus status = co_await instance->until_ended();
  if (std::erase(instances_, instance) > 0) spdlog::warn("{}: {}", name(), describe_exit(status));
}

Duration Revision::idle_limit() const {
  return retired_ ? Duration{} : Duration(spec_.settings.window) + kScaleToZeroGrace;
}

void Revision::arrange_sweep() {
  if (sweeping_ || instances_.empty()) return;
  sweeping_ = true;
  asio::co_spawn(io_, sweep(), asio::detached);
}

// Sleeps until the revision has been idle for long enough, then stops what it may.
Awaitable<void> Revision::sweep() {
  const auto self = shared_from_this();
  asio::steady_timer timer(io_);
  while (!instances_.empty()) {
    const auto due = last_used_ + idle_limit();
    const bool idle = std::ranges::all_of(instances_, [](const auto& i) { return i->in_flight == 0; });
    if (idle && waiting_.empty() && std::chrono::steady_clock::now() >= due) {
      const size_t keep = retired_ ? 0 : static_cast<size_t>(spec_.settings.min_scale);
      while (instances_.size() > keep) {
        auto instance = instances_.back();
        instances_.pop_back();
        stop_in_background(std::move(instance), kStopGrace);
      }
      break;
    }
    if (!idle) break;  // the end of a request arranges the next sweep
    timer.expires_at(due);
    co_await timer.async_wait(asio::use_awaitable);
  }
  sweeping_ = false;
}

void Revision::stop_in_background(std::shared_ptr<Instance> instance, Duration grace) {
  asio::co_spawn(
      io_,
      [](std::shared_ptr<Revision> self, std::shared_ptr<Instance> stopping, Duration limit) -> Awaitable<void> {
        co_await stopping->stop(limit);
        // Tearing a sandbox down blocks for a moment.
        auto destroy = [&stopping] { stopping.reset(); };
        co_await on_pool(self->pool_, destroy);
      }(shared_from_this(), std::move(instance), grace),
      asio::detached);
}

void Revision::retire() {
  retired_ = true;
  last_used_ = {};
  sweeping_ = false;  // one that sleeps for the idle window would come too late; it finds nothing to do
  arrange_sweep();
}

Awaitable<void> Revision::shut_down(Duration grace) {
  const auto self = shared_from_this();
  retired_ = true;
  asio::steady_timer timer(io_);
  const auto give_up = std::chrono::steady_clock::now() + grace;
  const auto busy = [this] { return std::ranges::any_of(instances_, [](const auto& i) { return i->in_flight > 0; }); };
  while (std::chrono::steady_clock::now() < give_up) {
    const bool waiting = busy();
    if (!waiting) break;
    timer.expires_after(std::chrono::milliseconds(5));
    co_await timer.async_wait(asio::use_awaitable);
  }
  auto stopping = std::exchange(instances_, {});
  for (auto& instance : stopping) co_await instance->stop(kStopGrace);
  auto destroy = [&stopping] { stopping.clear(); };
  co_await on_pool(pool_, destroy);
}

}  // namespace kiln::serving
