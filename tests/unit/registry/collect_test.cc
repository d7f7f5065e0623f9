#include "registry/store/collect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <thread>

#include "base/error.h"
#include "registry/store/leases.h"
#include "registry/store/scrub.h"
#include "registry/store/snapshots.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {
namespace {

class Collect : public testing::Test {
 protected:
  Image image(const std::string& salt) {
    return make_image(store_, {TarBuilder().file("f", salt).finish()}, salt);
  }
  bool is_whole(const Image& image) const {
    return store_.has(image.descriptor.digest) && store_.has(image.manifest.config.digest) &&
           store_.has(image.manifest.layers[0].digest);
  }
  // A collection some time from now.
  CollectReport collect_after(Duration time, bool dry_run = false) {
    const ManualClock clock(system_clock().now() + time);
    CollectOptions options;
    options.clock = &clock;
    options.dry_run = dry_run;
    return collect(store_, options);
  }
  static constexpr auto kLater = std::chrono::hours(2);

  TempDir dir_;
  Store store_{dir_.path()};
};

TEST_F(Collect, RemovesWhatNoNameLeadsTo) {
  const Image named = image("named"), unnamed = image("unnamed"), pushed = image("pushed");
  store_.tag("named:1", named.descriptor);
  store_.update([&](IndexEdit& edit) {
    Descriptor entry = pushed.descriptor;
    entry.annotations[Store::kRepository] = "pushed";
    edit.add(entry);
  });
  const Digest layer = unnamed.manifest.layers[0].digest;
  const uint64_t bytes = unnamed.descriptor.size + unnamed.manifest.config.size + *store_.size(layer);
  const CollectReport trial = collect_after(kLater, /*dry_run=*/true);
  EXPECT_TRUE(is_whole(unnamed));
  const CollectReport report = collect_after(kLater);
  EXPECT_EQ(report.blobs, 3u);
  EXPECT_EQ(report.bytes, bytes);
  EXPECT_EQ(trial.bytes, bytes);
  EXPECT_TRUE(is_whole(named));
  EXPECT_TRUE(is_whole(pushed));
  EXPECT_FALSE(store_.has(layer));
  EXPECT_FALSE(store_.has(unnamed.descriptor.digest));
  EXPECT_TRUE(report.missing.empty());
}

TEST_F(Collect, SparesWhatIsYoungOrWasKept) {
  const Image young = image("young");
  EXPECT_EQ(collect_after({}).blobs, 0u);
  EXPECT_EQ(collect_after({}).young, 3u);
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(5);
  const Digest layer = young.manifest.layers[0].digest;
  for (const Digest& digest : {layer, young.descriptor.digest})
    fs::last_write_time(store_.blob_path(digest), long_ago);
  EXPECT_TRUE(store_.keep(layer));
  EXPECT_EQ(collect_after({}).blobs, 1u);
  EXPECT_TRUE(store_.has(layer));
  EXPECT_FALSE(store_.has(young.descriptor.digest));
}

TEST_F(Collect, FollowsIndexesWhoseImagesComeLater) {
  const Image inner = image("inner");
  const Descriptor index = store_.put(
      R"({"schemaVersion":2,"manifests":[)" + std::string(R"({"mediaType":")") +
          std::string(media::kManifest) + R"(","digest":")" + inner.descriptor.digest.text() +
          R"(","size":1},{"mediaType":"m","digest":")" + sha256("elsewhere").text() + R"(","size":1}]})",
      media::kIndex);
  store_.tag("index:1", index);
  EXPECT_TRUE(collect_after(kLater).missing.empty());  // other platforms' images need not be here
  EXPECT_TRUE(is_whole(inner));
}

TEST_F(Collect, SparesWhatALeaseHoldsForAsLongAsItLasts) {
  const Image leased = image("leased"), other = image("other");
  {
    Lease lease(store_, "test");
    lease.add(leased.descriptor.digest);
    EXPECT_EQ(collect_after(kLater).blobs, 3u);
    EXPECT_TRUE(is_whole(leased));
    EXPECT_FALSE(is_whole(other));
  }
  EXPECT_EQ(collect_after(kLater).blobs, 3u);
  EXPECT_FALSE(is_whole(leased));
}

TEST_F(Collect, SparesAllThatIsNewWhileSomebodyBringsContent) {
  image("before");
  {
    const Lease lease(store_, "build", Lease::Spares::AllThatIsNew);
    image("during");
    EXPECT_EQ(collect_after(kLater).blobs, 0u);
  }
  EXPECT_EQ(collect_after(kLater).blobs, 6u);
}

TEST_F(Collect, ForgetsTheLeasesOfTheDead) {
  const Image image_of_the_dead = image("dead");
  make_dirs(dir_.path() / "leases");
  write_file(dir_.path() / "leases/step-dead",
             "content " + image_of_the_dead.descriptor.digest.text() + "\n");
  EXPECT_EQ(collect_after(kLater).blobs, 3u);
  EXPECT_TRUE(fs::is_empty(dir_.path() / "leases"));
}

TEST_F(Collect, TakesLeasesThatCannotBeReadForNoEmptyOnes) {
  EXPECT_TRUE(read_leases(dir_.path()).roots.empty()) << "no folder";
  Lease lease(store_, "step");
  lease.add(image("leased").descriptor.digest);
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const struct rlimit full { 0, before.rlim_max };
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &full), 0);
  EXPECT_THROW(read_leases(dir_.path()), Error);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(read_leases(dir_.path()).roots.size(), 1u);
}

// Of this thread: to lock a file alone fails as on a file system that has no locks.
bool refuse_exclusive_locks() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_flock, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LOCK_EX, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOLCK),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(Collect, GivesNoLeaseAndNoWriterThatCouldNotBeLocked) {
  bool refused = false;
  std::thread([&] {
    refused = refuse_exclusive_locks();
    if (!refused) return;
    EXPECT_THROW(Lease(store_, "step"), Error);
    EXPECT_THROW(store_.begin_blob(), Error);
  }).join();
  if (!refused) GTEST_SKIP() << "seccomp filters are not to be had here";
  EXPECT_TRUE(fs::is_empty(dir_.path() / Store::kUploads));
  EXPECT_TRUE(fs::is_empty(dir_.path() / "leases"));
}

TEST_F(Collect, RemovesUnpackedLayersThatNobodyStandsOn) {
  const Image used = image("used"), unused = image("unused"), named = image("named");
  store_.tag("named:1", named.descriptor);
  const Snapshots snapshots(store_);
  Lease lease(store_, "step");
  const fs::path in_use = snapshots.prepare(used, &lease)[0];
  const fs::path idle = snapshots.prepare(unused)[0], of_name = snapshots.prepare(named)[0];
  const CollectReport report = collect_after(kLater);
  EXPECT_EQ(report.snapshots, 1u);
  EXPECT_TRUE(fs::exists(in_use / "f"));
  EXPECT_TRUE(fs::exists(of_name / "f"));
  EXPECT_FALSE(fs::exists(idle.parent_path()));
  EXPECT_FALSE(fs::exists(idle.parent_path().string() + ".lock"));
}

TEST_F(Collect, RemovesOldDamagedBlobs) {
  const Digest digest = store_.put("content", "x/y").digest;
  write_file(store_.blob_path(digest), "tampere");
  EXPECT_FALSE(store_.heal(digest));
  EXPECT_EQ(collect_after({}).quarantined, 0u);
  EXPECT_EQ(collect_after(kLater).quarantined, 1u);
  EXPECT_TRUE(fs::is_empty(dir_.path() / "quarantine/sha256"));
}

// The server's way of a push, against a collection that spares nothing for its age.
TEST_F(Collect, NeverTakesWhatWasFoundThereWhenItWasNamed) {
  for (int i = 0; i < 20; ++i) {
    const Image one = image("n" + std::to_string(i));
    std::jthread collector;
    store_.update([&](IndexEdit& edit) {
      collector = std::jthread([&] { collect_after(kLater); });
      if (is_whole(one)) edit.name("app:" + std::to_string(i), one.descriptor);
    });
    collector.join();
    EXPECT_TRUE(is_whole(one)) << i;
  }
}

TEST_F(Collect, AScrubFindsDamageAndSaysWhoNeedsIt) {
  const Image good = image("good"), bad = image("bad");
  store_.tag("good:1", good.descriptor);
  store_.tag("bad:1", bad.descriptor);
  const Digest layer = bad.manifest.layers[0].digest;
  std::string bytes = read_file(store_.blob_path(layer));
  bytes[600] ^= 4;
  write_file(store_.blob_path(layer), bytes);
  fs::remove(store_.blob_path(bad.manifest.config.digest));
  uint64_t told = 0;
  const ScrubReport report =
      scrub(store_, 2, [&](uint64_t done, uint64_t total) { told += done == total; }, {});
  EXPECT_EQ(report.blobs, 5u);
  EXPECT_EQ(told, 1u);
  EXPECT_EQ(report.damaged, std::vector<Digest>{layer});
  EXPECT_EQ(report.missing, (std::set<Digest>{layer, bad.manifest.config.digest}));
  EXPECT_EQ(report.names.at(layer), std::set<std::string>{"bad:1"});
  EXPECT_FALSE(store_.has(layer));
  EXPECT_TRUE(is_whole(good));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(scrub(store_, 1, {}, stop.get_token()), Error);
}

}  // namespace
}  // namespace kiln::registry
