#pragma once

#include <stop_token>
#include <sys/eventfd.h>

#include "base/error.h"
#include "base/unique_fd.h"

namespace kiln {

// A stop token for poll(2): readable from when the stop is requested, for good. Throws Infrastructure.
class StopFd {
 public:
  explicit StopFd(const std::stop_token& stop) : on_stop_(stop, Ring{fd_.get()}) {}
  int get() const { return fd_.get(); }

 private:
  struct Ring {
    int fd;
    void operator()() const { ::eventfd_write(fd, 1); }
  };
  static UniqueFd make() {
    UniqueFd fd(::eventfd(0, EFD_CLOEXEC));
    if (!fd) throw_errno("cannot make an eventfd");
    return fd;
  }

  UniqueFd fd_ = make();
  std::stop_callback<Ring> on_stop_;  // last: it uses the other
};

}  // namespace kiln
