#include "builders/stack.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <sys/statvfs.h>
#include <thread>
#include <unistd.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "builders/layer_writer.h"
#include "builders/root_archive.h"
#include "registry/store/leases.h"
#include "registry/store/store.h"

namespace kiln::builders {
namespace {

struct Recipe {
  std::string name;
  std::string description;
  std::string packages;  // comma-separated, besides Debian's essential ones
};

const Recipe kRecipes[] = {
    {"kiln/run", "Debian with CA certificates", "ca-certificates"},
    {"kiln/run-node", "Debian with node", "ca-certificates,nodejs"},
    {"kiln/run-python", "Debian with python3", "ca-certificates,python3"},
    {"kiln/build", "Debian with node, python, C and C++ tools",
     "ca-certificates,curl,g++,gcc,git,libc6-dev,make,nodejs,npm,python3,python3-pip,python3-venv"},
};

// Debian's essential packages, merged /usr without the perl script that merges it.
constexpr const char* kAlways = "usr-is-merged,tzdata,netbase";

// Removes what tells when and where the root was made, and adds the user that buildpacks run as.
// $1 is the root.
constexpr const char* kFinish = R"sh(set -e
cd "$1"
echo 'cnb:x:1000:1000:buildpacks:/home/cnb:/bin/bash' >> etc/passwd
echo 'cnb:x:1000:' >> etc/group
echo 'cnb:!:19000:0:99999:7:::' >> etc/shadow
sed -i 's/^\([^:]*:[^:]*\):[0-9]*:/\1:19000:/' etc/shadow
mkdir -p home/cnb workspace layers
chown 1000:1000 home/cnb workspace layers
rm -f etc/machine-id etc/resolv.conf etc/hostname etc/hosts etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/.pwd.lock
rm -f var/lib/dpkg/*-old var/lib/dpkg/lock* var/lib/dpkg/triggers/Lock var/lib/systemd/random-seed
rm -rf var/log/* var/cache/* var/lib/apt/lists/* var/tmp/* run/* usr/share/man usr/share/info
: > etc/machine-id
mkdir -p var/cache/apt/archives/partial var/lib/apt/lists/partial
find usr/share/doc -mindepth 1 -delete
)sh";

std::string recipe_key(const Recipe& recipe, const StackRequest& request) {
  return sha256(recipe.name + "\n" + recipe.packages + "\n" + kAlways + "\n" + kFinish + "\n" + request.suite)
      .text();
}

constexpr const char* kRecipeLabel = "dev.kiln.stack.recipe";

// mmdebstrap makes tens of thousands of files and then reads them once: in memory when there is room.
fs::path scratch_folder() {
  struct statvfs space;
  const char* memory = "/dev/shm";
  if (::statvfs(memory, &space) == 0 && !(space.f_flag & (ST_NOEXEC | ST_NODEV)) &&
      ::access(memory, W_OK) == 0 && static_cast<uint64_t>(space.f_bavail) * space.f_frsize > (4ull << 30))
    return memory;
  return {};
}

void bootstrap(const Recipe& recipe, const StackRequest& request, const fs::path& tar, std::stop_token stop) {
  Command command;
  command.argv = {"mmdebstrap",
                  "--variant=essential",
                  "--mode=auto",
                  "--format=tar",
                  "--quiet",
                  "--include=" + std::string(kAlways) + "," + recipe.packages,
                  "--aptopt=APT::Install-Recommends \"false\"",
                  "--dpkgopt=path-exclude=/usr/share/man/*",
                  "--dpkgopt=path-exclude=/usr/share/info/*",
                  "--dpkgopt=path-exclude=/usr/share/locale/*",
                  "--dpkgopt=path-exclude=/usr/share/doc/*",
                  "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
                  "--customize-hook=" + std::string(kFinish)};
  // The proxy that apt uses on this machine is the one its packages come through.
  const Finished config =
      run({.argv = {"apt-config", "dump", "Acquire"}, .environment = {}, .directory = {}, .input = {}});
  for (const std::string& line : split(config.output, '\n'))
    if (line.find("::Proxy") != std::string::npos && line.find("\"\"") == std::string::npos)
      command.argv.push_back("--aptopt=" + line);
  command.argv.push_back(request.suite);
  command.argv.push_back(tar.string());
  if (!request.mirror.empty()) command.argv.push_back(request.mirror);

  TempDir scratch(scratch_folder());
  fs::permissions(scratch.path(), fs::perms(0755));
  command.environment = current_environment();
  (*command.environment)["TMPDIR"] = scratch.path().string();
  command.environment->erase("SOURCE_DATE_EPOCH");
  const Finished finished = run(command, {}, stop);
  if (finished.ok()) return;
  std::string tail =
      finished.errors.size() > 1500 ? finished.errors.substr(finished.errors.size() - 1500) : finished.errors;
  throw Error(
      ErrorKind::Infrastructure, "mmdebstrap could not make " + recipe.name + ":\n" + std::string(trim(tail)),
      ::geteuid() == 0 ? "check that Debian's packages can be reached: `apt-get update`"
                       : "without root, mmdebstrap needs newuidmap and a range in /etc/subuid (or run "
                         "`kiln stack create` once as root)");
}

registry::ImageConfig config_of(const Recipe& recipe, const StackRequest& request) {
  registry::ImageConfig config;
  config.created = "1980-01-01T00:00:01Z";
  config.user = "1000:1000";
  config.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "CNB_USER_ID=1000",
                "CNB_GROUP_ID=1000", "CNB_STACK_ID=dev.kiln.stacks." + request.suite};
  config.cmd = {"/bin/bash"};
  config.labels = {{"io.buildpacks.base.distro.name", "debian"},
                   {"io.buildpacks.base.distro.version", request.suite == "bookworm" ? "12" : request.suite},
                   {"io.buildpacks.base.id", "dev.kiln.stacks." + request.suite},
                   {"io.buildpacks.base.maintainer", "Kiln"},
                   {"io.buildpacks.base.description", recipe.description},
                   {"io.buildpacks.stack.id", "dev.kiln.stacks." + request.suite},
                   {kRecipeLabel, recipe_key(recipe, request)}};
  return config;
}

}  // namespace

std::vector<StackImage> create_stack(registry::Store& store, const fs::path& cache,
                                     const StackRequest& request,
                                     const std::function<void(std::string_view)>& log, std::stop_token stop) {
  make_dirs(cache);
  FileLock lock(cache / "stack.lock");
  std::vector<StackImage> images;
  for (const Recipe& recipe : kRecipes) {
    const auto known = request.update ? std::nullopt : store.resolve(recipe.name + ":latest");
    if (!known) break;
    const auto labels = store.load(*known).config.labels;
    const auto label = labels.find(kRecipeLabel);
    if (label == labels.end() || label->second != recipe_key(recipe, request)) break;
    images.push_back({recipe.name + ":latest", *known, true});
  }
  if (images.size() == std::size(kRecipes)) return images;
  images.clear();
  if (!find_program("mmdebstrap"))
    throw Error(ErrorKind::Infrastructure, "mmdebstrap is not installed", "apt-get install mmdebstrap");

  const int64_t start =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  TempDir scratch(cache);
  std::mutex log_mutex;
  std::vector<std::exception_ptr> failures(std::size(kRecipes));
  std::vector<std::unique_ptr<RootArchive>> roots(std::size(kRecipes));
  {
    std::stop_source abandon;
    std::stop_callback forward(stop, [&] { abandon.request_stop(); });
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < std::size(kRecipes); ++i)
      threads.emplace_back([&, i] {
        try {
          const fs::path tar = scratch.path() / (std::to_string(i) + ".tar");
          {
            const std::lock_guard guard(log_mutex);
            log("making " + kRecipes[i].name + " (" + kRecipes[i].description + ")");
          }
          bootstrap(kRecipes[i], request, tar, abandon.get_token());
          roots[i] = std::make_unique<RootArchive>(tar, start);
        } catch (...) {
          failures[i] = std::current_exception();
          abandon.request_stop();  // the others would only be thrown away
        }
      });
  }
  const auto is_cancel = [](const std::exception_ptr& failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const Error& error) {
      return error.kind() == ErrorKind::Cancelled;
    } catch (...) {
      return false;
    }
  };
  for (const bool cancelled : {false, true})  // the cause before its consequences
    for (const auto& failure : failures)
      if (failure && is_cancel(failure) == cancelled) std::rethrow_exception(failure);

  const registry::Lease lease(store, "stack", registry::Lease::Spares::AllThatIsNew);
  LayerCache layers(store, cache / "layers");
  bool reused = false;
  const Layer base = store_layer(
      store, layers, "", [&](TarWriter& tar) { roots[0]->write_all(tar); }, reused);
  for (size_t i = 0; i < std::size(kRecipes); ++i) {
    const Recipe& recipe = kRecipes[i];
    registry::Manifest manifest;
    registry::ImageConfig config = config_of(recipe, request);
    const auto add = [&](const Layer& layer, const std::string& created_by) {
      manifest.layers.push_back(layer.descriptor);
      config.diff_ids.push_back(layer.diff_id);
      config.history.push_back({.created_by = created_by, .comment = "", .created = config.created});
    };
    add(base, "mmdebstrap " + request.suite + ": " + kRecipes[0].packages);
    if (i > 0)
      add(store_layer(
              store, layers, "", [&](TarWriter& tar) { roots[i]->write_difference(tar, *roots[0]); }, reused),
          "mmdebstrap " + request.suite + ": " + recipe.packages);
    manifest.config = store.put(registry::serialize(config), registry::media::kConfig);
    const registry::Descriptor descriptor =
        store.put(registry::serialize(manifest), registry::media::kManifest);
    store.tag(recipe.name + ":latest", descriptor);
    images.push_back({recipe.name + ":latest", descriptor, false});
  }
  return images;
}

}  // namespace kiln::builders
