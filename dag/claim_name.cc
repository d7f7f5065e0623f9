#include "dag/claim_name.h"

#include "base/digest.h"

namespace kiln::dag {

std::string claim_name(const WorkspaceBinding& binding, std::string_view run_uid) {
  if (binding.is(VolumeSource::Kind::PersistentVolumeClaim)) return binding.source.name.value;
  if (binding.kind != WorkspaceBinding::Kind::RunFolder) return {};
  const Digest digest = sha256(binding.folder + "/" + std::string(run_uid));
  return "pvc-" + std::string(digest.encoded().substr(0, 10));
}

}  // namespace kiln::dag
