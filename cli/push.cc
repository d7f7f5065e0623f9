#include "cli/push.h"

#include "base/error.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "registry/client.h"
#include "registry/store.h"

namespace kiln::cli {

void push_image(Context& context, const std::string& name, const registry::Reference& target) {
  const auto descriptor = context.store().resolve(name);
  if (!descriptor)
    throw Error(ErrorKind::NotFound, "there is no image " + name + " in the store",
                "`kiln image list` shows what there is");
  size_t moved = 0, present = 0;
  uint64_t bytes = 0;
  registry::TransferOptions options;
  options.stop = context.stop();
  options.observer = [&](const registry::TransferEvent& event) {
    using Kind = registry::TransferEvent::Kind;
    if (event.digest == descriptor->digest) return;  // the manifest itself
    if (event.kind == Kind::Done) {
      ++moved;
      bytes += event.total;
    } else if (event.kind == Kind::Present || event.kind == Kind::Mounted) {
      ++present;
    }
  };
  context.client().push(context.store(), *descriptor, target, options);
  const auto blobs = [](size_t count) { return std::to_string(count) + (count == 1 ? " blob" : " blobs"); };
  say("pushed " + target.text() + ": " +
      (moved > 0 ? blobs(moved) + " sent (" + format_bytes(bytes) + "), " : "") + blobs(present) +
      " there already" + (moved == 0 ? " (CACHED)" : ""));
}

}  // namespace kiln::cli
