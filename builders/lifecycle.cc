#include "builders/lifecycle.h"

#include <chrono>

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"
#include "builders/build_phase.h"
#include "builders/build_room.h"
#include "builders/detect.h"
#include "builders/export.h"
#include "registry/store/leases.h"
#include "registry/store/snapshots.h"
#include "registry/store/store.h"

namespace kiln::builders {
namespace {

// Marks the cached layers as unfinished while a build changes them: after a crash the next build starts
// clean.
class UnfinishedMark {
 public:
  explicit UnfinishedMark(const fs::path& folder) : file_(folder / "unfinished") {
    if (fs::exists(file_)) remove_tree(folder / "layers");
    write_file(file_, "");
  }
  ~UnfinishedMark() {
    std::error_code ignored;  // left behind, it only costs the next build its cache
    fs::remove(file_, ignored);
  }

 private:
  fs::path file_;
};

}  // namespace

Lifecycle::Lifecycle(const registry::Images& images, steps::SandboxRuntime& runtime, fs::path cache)
    : images_(images), runtime_(runtime), cache_(std::move(cache)) {}

BuildResult Lifecycle::build(const BuildRequest& request, const BuildLog& log, std::stop_token stop) {
  using clock = std::chrono::steady_clock;
  BuildResult result;
  auto phase_start = clock::now();
  const auto phase_ends = [&](const char* name) {
    const auto now = clock::now();
    result.phases[name] = std::chrono::duration<double>(now - phase_start).count();
    phase_start = now;
  };

  registry::Store& store = images_.store();
  const registry::Snapshots snapshots(store);
  registry::Lease lease(store, "build", registry::Lease::Spares::AllThatIsNew);
  const registry::Image build_image =
      images_.get(request.build_image, registry::PullPolicy::IfNotPresent, stop);
  const BuildpackSet set =
      BuildpackSet::load(request.buildpacks ? *request.buildpacks : own_buildpacks(cache_));

  const fs::path folder = cache_ / "build" / sha256(request.image).short_text();
  make_dirs(folder, 0700);
  fs::permissions(cache_ / "build", fs::perms(0711));
  fs::permissions(folder, fs::perms(0711));
  FileLock lock(folder / "lock");
  if (request.clear_cache)
    for (const char* name : {"layers", "home"}) remove_tree(folder / name);
  UnfinishedMark mark(folder);
  OnExit remove_app([&] {
    // The next build of this image removes what is left first, and says why it cannot.
    for (const char* name : {"app", "phase", "platform"}) try_remove_tree(folder / name);
  });

  BuildRoom room(request, build_image, snapshots.prepare(build_image, &lease), runtime_, folder, stop);
  phase_ends("prepare");
  const DetectedGroup group = detect(room, set, log);
  const std::string run_image_name = choose_run_image(room, group, log);
  const registry::Image run_image = images_.get(run_image_name, registry::PullPolicy::IfNotPresent, stop);
  lease.add(run_image.descriptor.digest);
  phase_ends("detect");
  std::optional<registry::Image> earlier;
  try {
    if (const auto descriptor = store.resolve(request.image); descriptor && !request.clear_cache) {
      lease.add(descriptor->digest);
      earlier = store.load(*descriptor);
    }
  } catch (const Error& error) {
    log("", "the earlier image cannot be read, nothing of it is reused: " + error.full());
  }
  const PreviousLayers previous = previous_layers(earlier, store);
  const BuildOutput output = run_build(room, group, previous, log);
  phase_ends("build");

  LayerCache cache(store, cache_ / "layers");
  Export exported = export_image(room, output, run_image, run_image_name, previous, store, cache);
  store.tag(request.image, exported.manifest);
  phase_ends("export");

  result.manifest = exported.manifest;
  result.layers = std::move(exported.layers);
  for (const DetectedGroup::Member& member : group.buildpacks)
    result.buildpacks.push_back(member.buildpack->full_name());
  return result;
}

}  // namespace kiln::builders
