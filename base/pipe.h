#pragma once

#include <fcntl.h>

#include "base/error.h"
#include "base/unique_fd.h"

namespace kiln {

// Both ends of a pipe that no program started meanwhile gets. Throws Infrastructure.
struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("cannot make a pipe");
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

}  // namespace kiln
