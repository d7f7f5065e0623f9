#include "registry/server/retention.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "registry/server/entry_notes.h"
#include "registry/store/store.h"
#include "tests/unit/registry/policy_registry.h"

namespace kiln::registry {
namespace {

using std::chrono::hours;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// Repository "a" with tags and manifests of known ages.
class Retention : public testing::Test {
 protected:
  // As a push leaves it.
  Digest push(const std::string& bytes, Duration age, const std::string& tag = {}) {
    const bool index = bytes.find("\"manifests\"") != std::string::npos;
    const Descriptor target = store_.put(bytes, index ? media::kIndex : media::kManifest);
    const auto ns = (now_ - age).time_since_epoch().count();
    const timespec when{static_cast<time_t>(ns / 1'000'000'000), 0};
    const timespec times[2] = {when, when};
    EXPECT_EQ(::utimensat(AT_FDCWD, store_.blob_path(target.digest).c_str(), times, 0), 0);
    Descriptor own = target;
    own.annotations[Store::kRepository] = "a";
    const auto document = nlohmann::json::parse(bytes);
    if (document.contains("subject")) own.annotations[kSubject] = document["subject"]["digest"];
    Descriptor tagged = target;
    tagged.annotations[kPushed] = format_rfc3339(now_ - age);
    store_.update([&](IndexEdit& edit) {
      edit.add(own);
      if (!tag.empty()) edit.name("a:" + tag, tagged);
    });
    return target.digest;
  }
  Digest push_tag(const std::string& tag, Duration age) { return push(manifest_of("{}", {}, tag), age, tag); }
  std::vector<std::string> gone(RetentionRule rule) {
    policies_.retention = {std::move(rule)};
    return gone();
  }
  std::vector<std::string> gone() {
    std::vector<std::string> out;
    for (const Expired& one : expired(store_, *store_.index(), policies_, now_)) {
      EXPECT_EQ(one.repository, "a");
      out.push_back(one.text());
    }
    return out;
  }

  TempDir dir_;
  Store store_{dir_.path()};
  const Time now_ = system_clock().now();  // files have real ages
  PolicySettings policies_;
};

TEST_F(Retention, KeepsTheTagsPushedLast) {
  for (int i = 1; i <= 4; ++i) push_tag("t" + std::to_string(i), hours(i));
  EXPECT_THAT(gone({.repositories = {"a"}, .keep_last = 2}), ElementsAre("t3", "t4"));
  EXPECT_THAT(gone({.repositories = {"a"}, .tags = {"t1", "t4"}, .keep_last = 1}), ElementsAre("t4"));
  EXPECT_THAT(gone({.repositories = {"b", "a/*"}, .keep_last = 1}), IsEmpty());
  EXPECT_THAT(gone({.repositories = {"**"}, .keep_last = 9}), IsEmpty());
}

TEST_F(Retention, KeepsWhatIsYoung) {
  for (int i = 1; i <= 4; ++i) push_tag("t" + std::to_string(i), hours(i));
  EXPECT_THAT(gone({.repositories = {"a"}, .keep_for = hours(3)}), ElementsAre("t3", "t4"));
  EXPECT_THAT(gone({.repositories = {"a"}, .keep_last = 3, .keep_for = hours(2)}), ElementsAre("t4"))
      << "either is reason enough to stay";
  EXPECT_THAT(gone({.repositories = {"a"}, .keep_last = 1, .keep_for = hours(4)}), ElementsAre("t4"));
}

TEST_F(Retention, OfSeveralRulesTheFirstThatMeansATagCounts) {
  push_tag("v1", hours(100));
  push_tag("pr-1", hours(50));
  push_tag("pr-2", hours(1));
  policies_.retention = {{.repositories = {"a"}, .tags = {"v*"}, .keep_last = 10},
                         {.repositories = {"**"}, .keep_for = hours(24)},
                         {.repositories = {"**"}, .keep_last = 0}};
  EXPECT_THAT(gone(), ElementsAre("pr-1"));
}

TEST_F(Retention, ImmutableTagsStay) {
  push_tag("v1", hours(100));
  push_tag("x1", hours(100));
  policies_.immutable_tags = {"v*"};
  EXPECT_THAT(gone({.repositories = {"a"}, .keep_for = hours(1)}), ElementsAre("x1"));
}

TEST_F(Retention, WhatWasNeverPushedIsTheUsersOwn) {
  const Descriptor built = store_.put(manifest_of("{}", {}, "built"), media::kManifest);
  store_.tag("a:latest", built);
  EXPECT_THAT(gone({.repositories = {"**"}, .keep_last = 0}), IsEmpty());
  Descriptor own = built;  // by a registry that did not note the time
  own.annotations[Store::kRepository] = "a";
  store_.update([&](IndexEdit& edit) { edit.add(own); });
  EXPECT_THAT(gone({.repositories = {"**"}, .keep_last = 0}), ElementsAre("latest"));
  EXPECT_THAT(gone({.repositories = {"**"}, .keep_for = hours(1)}), IsEmpty()) << "as old as its file";
}

TEST_F(Retention, ManifestsWithoutATagGoWhenNobodyAsksForThem) {
  const Digest old = push(manifest_of("{}", {}, "old"), hours(20));
  push(manifest_of("{}", {}, "new"), hours(2));
  push_tag("t", hours(30));
  EXPECT_THAT(gone({.repositories = {"a"}, .untagged_for = hours(10)}), ElementsAre(old.text()));
  store_.keep(old);
  EXPECT_THAT(gone({.repositories = {"a"}, .untagged_for = hours(10)}), IsEmpty()) << "somebody has asked";
}

TEST_F(Retention, ATagThatGoesTakesItsManifestAlong) {
  const Digest old = push_tag("t", hours(30));
  EXPECT_THAT(gone({.repositories = {"a"}, .keep_for = hours(1), .untagged_for = hours(10)}),
              ElementsAre("t", old.text()));
}

TEST_F(Retention, ImagesOfAnIndexStayWithIt) {
  const std::string child = manifest_of("{}", {}, "child"), other = manifest_of("{}", {}, "other");
  push(child, hours(30));
  push(other, hours(30));
  push(index_of({child}), hours(30), "all");
  push(index_of({other}), hours(1));
  EXPECT_THAT(gone({.repositories = {"a"}, .untagged_for = hours(10)}), IsEmpty())
      << "also with one that no tag names, as long as that is young";
  EXPECT_THAT(gone({.repositories = {"a"}, .keep_for = hours(2), .untagged_for = hours(10)}),
              UnorderedElementsAre("all", sha256(child).text(), sha256(index_of({child})).text()));
}

TEST_F(Retention, ReferrersStayWithTheirSubject) {
  const Digest image = push_tag("t", hours(30));
  const std::string signature = manifest_of("{}", {}, "signature", image.text());
  push(signature, hours(30));
  const Digest of_signature = push(manifest_of("{}", {}, "more", sha256(signature).text()), hours(30));
  const Digest orphan = push(manifest_of("{}", {}, "orphan", sha256("absent").text()), hours(30));
  EXPECT_THAT(gone({.repositories = {"a"}, .untagged_for = hours(10)}), ElementsAre(orphan.text()));
  EXPECT_THAT(
      gone({.repositories = {"a"}, .keep_for = hours(1), .untagged_for = hours(10)}),
      UnorderedElementsAre("t", image.text(), sha256(signature).text(), of_signature.text(), orphan.text()));
}

TEST_F(Retention, TagsOfCosignStayAndGoWithTheImageThatTheyName) {
  const auto about = [](const Digest& image, const char* what) {
    return "sha256-" + std::string(image.encoded()) + what;
  };
  const Digest old = push_tag("old", hours(30)), young = push_tag("young", hours(20));
  const std::string old_signature = about(old, ".sig"), signature = about(young, ".sig"),
                    bill = about(young, ".sbom");
  push_tag(old_signature, hours(1));
  const Digest attested = push_tag(signature, hours(29));
  push_tag(bill, hours(28));
  push_tag(about(attested, ".att"), hours(27));
  EXPECT_THAT(gone({.repositories = {"a"}, .keep_last = 1}), ElementsAre("old"))
      << "they are not counted, and the old image is still there by its digest";
  EXPECT_THAT(gone({.repositories = {"a"}, .keep_last = 1, .untagged_for = hours(10)}),
              UnorderedElementsAre("old", old.text(), old_signature));
  EXPECT_THAT(gone({.repositories = {"a"}, .keep_for = hours(1), .untagged_for = hours(25)}),
              testing::AllOf(testing::Contains("young"), testing::Not(testing::Contains(signature)),
                             testing::Not(testing::Contains(bill)),
                             testing::Not(testing::Contains(about(attested, ".att")))))
      << "the image is young enough without its tag";
  EXPECT_THAT(gone({.repositories = {"a"}, .tags = {"old"}, .keep_for = hours(1), .untagged_for = hours(10)}),
              UnorderedElementsAre("old", old.text(), old_signature))
      << "whatever tags the rule means";
}

TEST_F(Retention, WhatOnlyLooksLikeATagOfCosignIsATag) {
  const std::string absent = "sha256-" + std::string(sha256("absent").encoded());
  const Digest image = push_tag("t", hours(1));
  const std::string of_image = "sha256-" + std::string(image.encoded());
  for (const std::string& tag :
       {absent + ".sig", of_image, of_image + ".txt", of_image.substr(0, 20) + ".sig", of_image + ".sig.sig"})
    push_tag(tag, hours(30));
  EXPECT_EQ(gone({.repositories = {"a"}, .keep_for = hours(10)}).size(), 5u);
}

TEST_F(Retention, RemovesEntriesAndNothingElse) {
  const Digest old = push_tag("old", hours(30)), young = push_tag("young", hours(1));
  policies_.retention = {{.repositories = {"a"}, .keep_for = hours(10)}};
  const auto went = retain(store_, policies_, now_);
  ASSERT_EQ(went.size(), 1u);
  EXPECT_EQ(went[0].tag, "old");
  EXPECT_EQ(went[0].target.digest, old);
  EXPECT_FALSE(store_.resolve("a:old"));
  EXPECT_EQ(store_.resolve("a:young")->digest, young);
  EXPECT_EQ(store_.index()->of_repository("a").size(), 3u) << "the manifest stays, without its tag";
  EXPECT_TRUE(store_.has(old)) << "blobs are gc's";
  EXPECT_THAT(retain(store_, policies_, now_), IsEmpty());
}

TEST_F(Retention, ATagThatIsPushedAgainIsYoungAgain) {
  push_tag("t", hours(30));
  push_tag("u", hours(20));
  policies_.retention = {{.repositories = {"a"}, .keep_last = 1}};
  EXPECT_THAT(gone(), ElementsAre("t"));
  push_tag("t", hours(1));  // the same manifest
  EXPECT_THAT(gone(), ElementsAre("u"));
}

TEST_F(Retention, WhatIsPushedWhileItLooksStays) {
  push_tag("old", hours(30));
  policies_.retention = {{.repositories = {"a"}, .keep_for = hours(10)}};
  // Changes that wait for each other see each other: this one is in the same hold of the lock, and first.
  store_.update([&](IndexEdit& edit) {
    Descriptor again = edit.find("a:old")->descriptor;
    again.annotations[kPushed] = format_rfc3339(now_);
    edit.name("a:old", again);
    EXPECT_THAT(expired(store_, *edit.finish(), policies_, now_), IsEmpty());
  });
  EXPECT_THAT(retain(store_, policies_, now_), IsEmpty());
  EXPECT_TRUE(store_.resolve("a:old"));
}

}  // namespace
}  // namespace kiln::registry
