#pragma once

#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <mutex>

// Inside of registry/server/server.cc.
namespace kiln::registry::detail {

// Threads that are there from the first time that somebody wants one: for those who wait for something slow,
// so that they do not take the HTTP server's own. Thread-safe.
class LazyPool {
 public:
  explicit LazyPool(size_t threads) : threads_(threads) {}

  boost::asio::thread_pool& get() {
    std::call_once(once_, [this] { pool_ = std::make_unique<boost::asio::thread_pool>(threads_); });
    return *pool_;
  }

 private:
  const size_t threads_;
  std::once_flag once_;
  std::unique_ptr<boost::asio::thread_pool> pool_;
};

}  // namespace kiln::registry::detail
