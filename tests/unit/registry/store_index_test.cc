#include "registry/store/store_index.h"

#include <gtest/gtest.h>
#include <latch>
#include <thread>

#include "base/error.h"
#include "base/fs.h"
#include "registry/store/index_full.h"
#include "registry/store/store.h"

namespace kiln::registry {
namespace {

TEST(IndexEdit, CarriesOnAsIfItWereMadeAnew) {
  const auto descriptor = [](int number) {
    return Descriptor{std::string(media::kManifest), sha256(std::to_string(number)), 1, {}, {}, {}, {}};
  };
  auto index = StoreIndex::parse(R"({"schemaVersion":2,"manifests":[]})", "index.json");
  IndexEdit edit(index);
  for (int round = 0; round < 1000; ++round) {
    IndexEdit anew(index);
    for (IndexEdit* one : {&edit, &anew}) {
      const std::string repository = "a" + std::to_string(round % 7),
                        name = repository + ":" + std::to_string(round % 11);
      Descriptor nameless = descriptor(round % 5);
      nameless.annotations[Store::kRepository] = repository;
      one->name(name, descriptor(round % 13));
      one->add(nameless);
      if (round % 3 == 0) one->remove(name);
      if (round % 17 == 0) one->remove_if("a3", [](const IndexEntry& entry) { return entry.tag.empty(); });
    }
    ASSERT_EQ(edit.finish()->text(), anew.finish()->text()) << round;
    index = edit.finish();
    edit.carry_on(index);
    ASSERT_FALSE(edit.changed());
  }
}

TEST(IndexEdit, NothingStaysOfAChangeThatIsTooMuchOrThrows) {
  const Descriptor blob{std::string(media::kManifest), sha256("1"), 1, {}, {}, {}, {}};
  Descriptor pushed = blob;
  pushed.annotations[Store::kRepository] = "a";
  IndexEdit edit(StoreIndex::parse(R"({"schemaVersion":2,"manifests":[]})", "index.json"));
  edit.name("a:1", blob);
  edit.name("a:2", blob);
  edit.add(pushed);
  const std::string before = edit.finish()->text();
  Descriptor longer = blob;
  longer.annotations["x"] = std::string(1000, 'x');
  const auto rebuild = [&](IndexEdit& one) {
    one.remove("a:1");
    one.remove_if("a", [](const IndexEntry& entry) { return entry.tag.empty(); });
    one.name("a:2", longer);
    one.name("b:1", blob);
    one.remove("b:1");
    one.name("a:1", longer);
  };
  EXPECT_FALSE(edit.apply(rebuild, before.size() + 500));
  EXPECT_EQ(edit.finish()->text(), before);
  const auto fails = [&](IndexEdit& one) {
    rebuild(one);
    throw Error(ErrorKind::Failed, "no");
  };
  EXPECT_THROW(edit.apply(fails, UINT64_MAX), Error);
  EXPECT_EQ(edit.finish()->text(), before);
  ASSERT_TRUE(edit.find("a:2"));
  EXPECT_EQ(edit.find("a:2")->descriptor.annotations.size(), 1u);
  EXPECT_FALSE(edit.find("b:1"));
  EXPECT_EQ(edit.remove_if("a", [](const IndexEntry&) { return true; }), 3u);
  EXPECT_TRUE(edit.apply([&](IndexEdit& one) { one.name("b:1", blob); }, 10'000));
}

TEST(IndexEdit, WhatIsTooLargeMayShrink) {
  const Descriptor blob{std::string(media::kManifest), sha256("1"), 1, {}, {}, {}, {}};
  IndexEdit edit(StoreIndex::parse(R"({"schemaVersion":2,"manifests":[]})", "index.json"));
  edit.name("a:1", blob);
  edit.name("a:2", blob);
  EXPECT_TRUE(edit.apply([](IndexEdit& one) { one.remove("a:1"); }, 10));
  EXPECT_TRUE(edit.apply([](IndexEdit&) {}, 10)) << "no change is none too many";
  EXPECT_FALSE(edit.apply([&](IndexEdit& one) { one.name("a:3", blob); }, 10));
  EXPECT_TRUE(edit.find("a:2"));
}

// While the first is being written the others wait, and are written together.
TEST(Store, OfChangesThatWaitTogetherThoseAreWrittenThatFit) {
  TempDir dir;
  Store store(dir.path());
  const std::string filler(size_t{64u << 20} - 5000, 'x');
  write_file_atomic(dir.path() / "index.json",
                    R"({"schemaVersion":2,"filler":")" + filler + R"(","manifests":[]})");
  const Descriptor small = store.put("1", media::kManifest);
  Descriptor large = small;
  large.annotations["x"] = std::string(10'000, 'x');
  constexpr int kOthers = 6;
  std::latch here(kOthers);
  std::vector<std::jthread> others;
  store.update([&](IndexEdit& edit) {
    for (int i = 0; i < kOthers; ++i)
      others.emplace_back([&, i] {
        const std::string name = "a:" + std::to_string(i);
        here.count_down();
        if (i % 2)
          EXPECT_NO_THROW(store.tag(name, small));
        else
          EXPECT_THROW(store.tag(name, large), IndexFull);
      });
    here.wait();
    edit.name("first:1", small);
  });
  others.clear();
  EXPECT_EQ(store.list().size(), 4u);
  EXPECT_EQ(Store(dir.path()).list(), store.list());
}

}  // namespace
}  // namespace kiln::registry
