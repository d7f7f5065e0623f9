#pragma once

#include <exception>
#include <memory>
#include <string>
#include <string_view>

namespace kiln {

// What kind of thing went wrong; decides the exit code (README.md, "Exit codes").
enum class ErrorKind {
  Usage,           // the command line is wrong: exit 2
  Invalid,         // a file or value the user gave is wrong: exit 2
  Failed,          // the work ran and failed: exit 1
  NotFound,        // a named thing (ref, blob, run, service) does not exist: exit 1
  Unavailable,     // registry, server, network; worth retrying: exit 3
  Infrastructure,  // sandbox, disk, kernel; retrying does not help: exit 3
  TimedOut,        // exit 4
  Cancelled,       // interrupted by the user: exit 130
};

int exit_code(ErrorKind kind);
// Not the fault of what was run: Unavailable or Infrastructure.
bool is_infrastructure(ErrorKind kind);

// The one exception type for what the world got wrong. An error is data; only the CLI renders it.
// `what()` is the message alone. `cause()` is the message of the error underneath, already flattened
// ("a: b: c"), empty when there is none. `hint()` is the next thing for the user to do.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message, std::string hint = {});

  // The same error seen from one level up: `message` names what was being done, this becomes its cause.
  // Kind and hint carry over.
  [[nodiscard]] Error because(std::string message) const;
  [[nodiscard]] Error with_hint(std::string hint) const;

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  const std::string& cause() const { return cause_; }
  const std::string& hint() const { return hint_; }
  // "message: cause", for logs and for tests.
  std::string full() const;
  // "message: cause (hint)", where all has to go into one line.
  std::string full_with_hint() const;
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorKind kind_;
  std::string message_;
  std::string cause_;
  std::string hint_;
};

// Throws Infrastructure with "<what>: <strerror(errno_value)>"; ENOENT becomes NotFound.
[[noreturn]] void throw_errno(int errno_value, std::string_view what);
[[noreturn]] void throw_errno(std::string_view what);  // uses errno

}  // namespace kiln
