#include "serving/records.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"

namespace kiln::serving {
namespace {

ServiceRecord service(const std::string& name) {
  ServiceRecord record;
  record.spec.name = name;
  record.spec.labels = {{"app", "x"}};
  record.spec.revision_template = {{"spec", {{"containers", {{{"image", "kiln/a"}}}}}}};
  record.spec.traffic = {{.revision = name + "-00001", .latest = false, .percent = 100, .tag = "stable"}};
  record.generation = 3;
  record.template_generation = 2;
  record.uid = "u";
  record.created = "2026-01-01T00:00:00Z";
  record.latest_created = name + "-00002";
  record.latest_ready = name + "-00001";
  return record;
}

RevisionRecord revision(const std::string& service, int64_t generation) {
  return {.name_space = "default",
          .name = service + "-0000" + std::to_string(generation),
          .service = service,
          .generation = generation,
          .revision_template = {{"spec", {{"containers", {{{"image", "kiln/a"}}}}}}},
          .image_digest = "sha256:0",
          .state = RevisionState::Failed,
          .reason = "ExitCode3",
          .message = "it's \"gone\"",
          .created = "2026-01-01T00:00:00Z"};
}

TEST(Records, KeepEverything) {
  const TempDir folder;
  const ServiceRecord a = service("a");
  const RevisionRecord r = revision("a", 2);
  {
    Records records(folder.path() / "kiln.db");
    records.save(a, r);
    records.save(service("b"), revision("b", 1));
  }
  Records records(folder.path() / "kiln.db");
  const auto found = records.service("default", "a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->spec.to_json(), a.spec.to_json());
  EXPECT_EQ(found->generation, 3);
  EXPECT_EQ(found->template_generation, 2);
  EXPECT_EQ(found->uid, "u");
  EXPECT_EQ(found->created, a.created);
  EXPECT_EQ(found->latest_created, "a-00002");
  EXPECT_EQ(found->latest_ready, "a-00001");
  const auto kept = records.revision("default", "a-00002");
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->revision_template, r.revision_template);
  EXPECT_EQ(kept->state, RevisionState::Failed);
  EXPECT_EQ(kept->reason, "ExitCode3");
  EXPECT_EQ(kept->message, "it's \"gone\"");
  EXPECT_EQ(kept->image_digest, "sha256:0");
  EXPECT_EQ(records.services().size(), 2u);
  EXPECT_EQ(records.revisions("default").size(), 2u);
  EXPECT_EQ(records.revisions("default", "a").size(), 1u);
  EXPECT_FALSE(records.service("other", "a"));
}

TEST(Records, RemoveAServiceWithItsRevisionsAndNoOthers) {
  const TempDir folder;
  Records records(folder.path() / "kiln.db");
  records.save(service("a"), revision("a", 1));
  records.save(service("a"), revision("a", 2));
  records.save(service("b"), revision("b", 1));
  records.remove("default", "a");
  EXPECT_FALSE(records.service("default", "a"));
  EXPECT_TRUE(records.revisions("default", "a").empty());
  EXPECT_TRUE(records.service("default", "b"));
  EXPECT_TRUE(records.revision("default", "b-00001"));
}

TEST(Records, ServiceAndRevisionComeTogetherOrNotAtAll) {
  const TempDir folder;
  const fs::path file = folder.path() / "kiln.db";
  { const Records made(file); }
  int lines[2];
  ASSERT_EQ(::pipe(lines), 0);
  const pid_t child = ::fork();
  if (child == 0) {  // saves one after the other, and says so, until it is killed
    Records records(file);
    for (int64_t n = 1;; ++n) {
      ServiceRecord s = service("a");
      RevisionRecord r = revision("a", n);
      s.latest_created = r.name;
      records.save(s, r);
      if (::write(lines[1], "x", 1) != 1) ::_exit(1);
    }
  }
  ::close(lines[1]);
  char byte;
  int acknowledged = 0;
  while (acknowledged < 5 && ::read(lines[0], &byte, 1) == 1) ++acknowledged;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  while (::read(lines[0], &byte, 1) == 1) ++acknowledged;
  ::close(lines[0]);
  Records records(file);
  const auto kept = records.service("default", "a");
  ASSERT_TRUE(kept);
  EXPECT_TRUE(records.revision("default", kept->latest_created)) << "a service without its revision";
  const auto revisions = records.revisions("default", "a");
  EXPECT_EQ(revisions.back().name, kept->latest_created) << "a revision without its service";
  EXPECT_GE(static_cast<int>(revisions.size()), acknowledged) << "what was acknowledged is lost";
}

TEST(Records, WhatOlderVersionsAcceptedIsStillRead) {
  const TempDir folder;
  Records records(folder.path() / "kiln.db");
  ServiceRecord odd = service("a");
  odd.spec.revision_template["spec"]["timeoutSeconds"] = 100000;
  records.save(odd);
  EXPECT_EQ(records.services().size(), 1u);
}

}  // namespace
}  // namespace kiln::serving
