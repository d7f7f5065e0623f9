#pragma once

#include <memory>
#include <string>

#include "base/http_server.h"

namespace kiln::serving {

// Coroutines that nobody awaits one by one, but somebody awaits in the end: no coroutine of the serving layer
// runs on after shut_down(). Belongs to the I/O thread.
class Background {
 public:
  explicit Background(asio::io_context& io);

  // Runs `task` to its end. What it throws is logged with `what`; Cancelled is not worth a line.
  // `owner` is kept alive until then.
  void start(std::string what, Awaitable<void> task, std::shared_ptr<void> owner = {});
  // Resolves when nothing runs any more. Must not be awaited from within a task.
  Awaitable<void> finished();

 private:
  struct State;
  asio::io_context& io_;
  std::shared_ptr<State> state_;
};

}  // namespace kiln::serving
