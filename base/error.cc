#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace kiln {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Usage:
    case ErrorKind::Invalid:
      return 2;
    case ErrorKind::Failed:
    case ErrorKind::NotFound:
      return 1;
    case ErrorKind::Unavailable:
    case ErrorKind::Infrastructure:
      return 3;
    case ErrorKind::TimedOut:
      return 4;
    case ErrorKind::Cancelled:
      return 130;
  }
  return 3;
}

Error::Error(ErrorKind kind, std::string message, std::string hint)
    : kind_(kind), message_(std::move(message)), hint_(std::move(hint)) {}

Error Error::because(std::string message) const {
  Error outer(kind_, std::move(message), hint_);
  outer.cause_ = full();
  return outer;
}

Error Error::with_hint(std::string hint) const {
  Error copy = *this;
  copy.hint_ = std::move(hint);
  return copy;
}

bool is_infrastructure(ErrorKind kind) {
  return kind == ErrorKind::Infrastructure || kind == ErrorKind::Unavailable;
}

std::string Error::full_with_hint() const {
  return full() + (hint_.empty() ? "" : " (" + hint_ + ")");
}

std::string Error::full() const {
  return cause_.empty() ? message_ : message_ + ": " + cause_;
}

void throw_errno(int errno_value, std::string_view what) {
  const ErrorKind kind = errno_value == ENOENT ? ErrorKind::NotFound : ErrorKind::Infrastructure;
  std::string hint;
  if (errno_value == ENOSPC || errno_value == EDQUOT)
    hint = "free some disk space, e.g. with `kiln image gc`";
  if (errno_value == EROFS) hint = "mount it writable, or have kiln use another folder: --root DIR";
  char buffer[256];
  throw Error(kind, std::string(what) + ": " + strerror_r(errno_value, buffer, sizeof buffer), hint);
}

void throw_errno(std::string_view what) {
  throw_errno(errno, what);
}

}  // namespace kiln
