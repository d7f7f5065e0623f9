#include "executor/control.h"

#include "base/error.h"
#include "base/folder_watch.h"
#include "base/fs.h"

namespace kiln::executor {
namespace {

constexpr const char* kFolder = "control";
constexpr const char* kCancel = "cancel";

}  // namespace

void request_cancel(const fs::path& run, const std::string& mode) {
  if (!fs::exists(run / kFolder))
    throw Error(ErrorKind::NotFound, "run " + run.filename().string() + " is not running",
                "kiln runs list shows what is");
  write_file_atomic(run / kFolder / kCancel, mode);
}

ControlListener::ControlListener(const fs::path& run, std::function<void(std::string)> on_cancel)
    : folder_(run / kFolder) {
  make_dirs(folder_, 0700);
  thread_ = std::jthread([folder = folder_, on_cancel = std::move(on_cancel),
                          watch = FolderWatch(folder_)](std::stop_token stop) mutable {
    while (watch.wait_for(kCancel, stop)) {
      on_cancel(read_file(folder / kCancel));
      fs::remove(folder / kCancel);
    }
  });
}

ControlListener::~ControlListener() {
  thread_ = {};  // joins
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

}  // namespace kiln::executor
