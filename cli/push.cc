#include "cli/push.h"

#include "cli/context.h"
#include "cli/image_copy.h"

namespace kiln::cli {

void push_image(Context& context, const std::string& name, const registry::ImagePlace& target,
                const std::string& output) {
  CopyRequest request;
  request.source = {registry::ImagePlace::Kind::Store, name, {}};
  request.target = target;
  request.options.platform.reset();
  request.verb = "pushed";
  request.output = output;
  copy(context, request);
}

}  // namespace kiln::cli
