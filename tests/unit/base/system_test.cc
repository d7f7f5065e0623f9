// Files, processes, folders, SQLite and git: what touches the machine.
#include <cstdlib>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "base/dirs.h"
#include "base/error.h"
#include "base/file_replacement.h"
#include "base/fs.h"
#include "base/git.h"
#include "base/process.h"
#include "base/sqlite.h"

namespace kiln {
namespace {

using testing::HasSubstr;

Command command(std::vector<std::string> argv) {
  Command made;
  made.argv = std::move(argv);
  return made;
}

TEST(FsTest, AnAtomicWriteReplacesTheWholeFileAndLeavesNothingBeside) {
  const TempDir dir;
  write_file(dir.path() / "f", "a much longer text before");
  write_file_atomic(dir.path() / "f", "new", 0600);
  EXPECT_EQ(read_file(dir.path() / "f"), "new");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()), 1);
}

TEST(FsTest, AReplacementShowsWhenItIsPublishedAndElseLeavesNothing) {
  const TempDir dir;
  const fs::path file = dir.path() / "f";
  write_file(file, "old");
  {
    FileReplacement replacement(file, "new");
    EXPECT_EQ(read_file(file), "old");
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
  FileReplacement replacement(file, "new");
  replacement.publish();
  EXPECT_EQ(read_file(file), "new");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
}

TEST(FsTest, ReadingIsBounded) {
  const TempDir dir;
  write_file(dir.path() / "f", "12345");
  EXPECT_EQ(read_file(dir.path() / "f", 5), "12345");
  EXPECT_THROW(read_file(dir.path() / "f", 4), Error);
  EXPECT_THROW(read_file("/dev/zero", 1 << 20), Error) << "also where no size is known";
}

TEST(FsTest, AMissingFileIsNotFoundAndNamed) {
  try {
    read_file("/no/such/file");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    EXPECT_THAT(error.message(), HasSubstr("/no/such/file"));
  }
}

TEST(FsTest, RemovingATreeFollowsNoLinkAndCopesWithClosedFolders) {
  const TempDir dir;
  const fs::path outside = dir.path() / "outside", tree = dir.path() / "tree";
  make_dirs(outside);
  write_file(outside / "kept", "x");
  make_dirs(tree / "a/b/c");
  write_file(tree / "a/b/f", "x");
  fs::create_directory_symlink(outside, tree / "a/link");
  ::chmod((tree / "a/b").c_str(), 0500);
  remove_tree(tree);
  EXPECT_FALSE(fs::exists(tree));
  EXPECT_TRUE(fs::exists(outside / "kept"));
  remove_tree(tree);  // what is gone is no error
}

TEST(FsTest, RemovingALinkLeavesItsTarget) {
  const TempDir dir;
  make_dirs(dir.path() / "target");
  fs::create_directory_symlink(dir.path() / "target", dir.path() / "link");
  remove_tree(dir.path() / "link");
  EXPECT_TRUE(fs::exists(dir.path() / "target"));
}

TEST(FsTest, AFileLockKeepsOthersOut) {
  const TempDir dir;
  auto lock = std::make_unique<FileLock>(dir.path() / "lock");
  const Command attempt = command({"flock", "--nonblock", (dir.path() / "lock").string(), "true"});
  if (!find_program("flock")) GTEST_SKIP() << "flock of util-linux is not installed";
  EXPECT_FALSE(run(attempt).ok());
  lock.reset();
  EXPECT_TRUE(run(attempt).ok());
}

TEST(ProcessTest, CapturesBothStreamsAndTheExitCode) {
  const Finished finished = run(command({"sh", "-c", "echo out; echo err >&2; exit 7"}));
  EXPECT_EQ(finished.exit_code, 7);
  EXPECT_EQ(finished.output, "out\n");
  EXPECT_EQ(finished.errors, "err\n");
}

TEST(ProcessTest, FeedsInputLargerThanAPipeWhileReadingOutput) {
  Command cat = command({"cat"});
  cat.input = std::string(3 << 20, 'x');
  EXPECT_EQ(run(cat).output.size(), cat.input.size());
}

TEST(ProcessTest, GivesExactlyTheEnvironmentAndFolderAskedFor) {
  const TempDir dir;
  Command env = command({"/bin/sh", "-c", "echo \"$A $HOME\"; pwd"});
  env.environment = Environment{{"A", "1"}};
  env.directory = dir.path();
  EXPECT_EQ(run(env).output, "1 \n" + dir.path().string() + "\n");
}

TEST(ProcessTest, AMissingProgramSaysWhatToInstall) {
  try {
    run(command({"kiln-no-such-program"}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Infrastructure);
    EXPECT_THAT(error.hint(), HasSubstr("kiln-no-such-program"));
  }
}

TEST(ProcessTest, AStopRequestEndsTheChildAndItsChildren) {
  std::stop_source stop;
  std::string output;
  EXPECT_THROW(run(
                   command({"sh", "-c", "sleep 600 & echo started; wait"}),
                   [&](std::string_view bytes) {
                     output += bytes;
                     stop.request_stop();
                   },
                   stop.get_token()),
               Error);
  EXPECT_EQ(output, "started\n");
}

TEST(ProcessTest, AKilledChildHas128PlusItsSignal) {
  EXPECT_EQ(run(command({"sh", "-c", "kill -TERM $$"})).exit_code, 128 + SIGTERM);
}

TEST(DirsTest, OneRootHoldsEverything) {
  const Dirs dirs = Dirs::under("/x/y/../z");
  EXPECT_EQ(dirs.store(), "/x/z/data/store");
  EXPECT_EQ(dirs.database(), "/x/z/state/kiln.db");
  EXPECT_EQ(dirs.runs(), "/x/z/state/runs");
}

TEST(SqliteTest, ATransactionThatIsNotCommittedNeverHappened) {
  const TempDir dir;
  Database database(dir.path() / "t.db");
  database.execute("CREATE TABLE t (a TEXT, b INTEGER)");
  {
    Transaction transaction(database);
    database.prepare("INSERT INTO t VALUES (?, ?)").bind(1, "lost").bind(2, int64_t{1}).run();
  }
  {
    Transaction transaction(database);
    database.prepare("INSERT INTO t VALUES (?, ?)").bind(1, std::string_view("k\0pt", 4)).bind_null(2).run();
    transaction.commit();
  }
  Database again(dir.path() / "t.db");
  Statement query = again.prepare("SELECT a, b FROM t");
  ASSERT_TRUE(query.step());
  EXPECT_EQ(query.text(0), std::string("k\0pt", 4)) << "bytes are kept as they are";
  EXPECT_TRUE(query.is_null(1));
  EXPECT_FALSE(query.step());
}

TEST(SqliteTest, AMistakeInSqlIsAnErrorWithItsMessage) {
  const TempDir dir;
  Database database(dir.path() / "t.db");
  EXPECT_THROW(database.execute("SELECT nothing FROM nowhere"), Error);
}

class GitTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!find_program("git")) GTEST_SKIP() << "git is not installed";
    make_dirs(source_);
    git({"init", "-q", "-b", "main"});
    write_file(source_ / "f", "one");
    first_ = commit("one");
    git({"tag", "v1"});
  }

  std::string git(std::vector<std::string> arguments) {
    std::vector<std::string> words{"git",         "-C", source_.string(),        "-c",
                                   "user.name=T", "-c", "user.email=t@localhost"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    const Finished finished = run(command(words));
    EXPECT_TRUE(finished.ok()) << finished.errors;
    return finished.output.substr(0, finished.output.find('\n'));
  }
  std::string commit(const std::string& message) {
    git({"add", "-A"});
    git({"commit", "-q", "-m", message});
    return git({"rev-parse", "HEAD"});
  }
  std::string checkout(const std::string& revision, const std::string& to) {
    return git_checkout({.url = "file://" + source_.string(),
                         .revision = revision,
                         .destination = dir_.path() / to,
                         .cache = dir_.path() / "cache"});
  }

  TempDir dir_;
  fs::path source_ = dir_.path() / "source";
  std::string first_;
};

TEST_F(GitTest, ChecksOutBranchesTagsCommitsAndTheDefault) {
  write_file(source_ / "f", "two");
  const std::string second = commit("two");
  EXPECT_EQ(checkout("", "a"), second);
  EXPECT_EQ(checkout("main", "b"), second);
  EXPECT_EQ(checkout("v1", "c"), first_);
  EXPECT_EQ(checkout(first_.substr(0, 10), "d"), first_);
  EXPECT_EQ(read_file(dir_.path() / "a/f"), "two");
  EXPECT_EQ(read_file(dir_.path() / "c/f"), "one");
}

TEST_F(GitTest, ASecondCheckoutSeesWhatWasPushedAndForcePushed) {
  checkout("main", "a");
  write_file(source_ / "f", "rewritten");
  git({"add", "-A"});
  git({"commit", "-q", "--amend", "-m", "other"});
  EXPECT_EQ(checkout("main", "b"), git({"rev-parse", "HEAD"}));
  EXPECT_EQ(read_file(dir_.path() / "b/f"), "rewritten");
}

TEST_F(GitTest, TheCheckoutIsARepositoryOfItsOwn) {
  checkout("main", "a");
  const Finished log = run(
      command({"git", "-c", "safe.directory=*", "-C", (dir_.path() / "a").string(), "log", "--format=%s"}));
  EXPECT_EQ(log.output, "one\n");
}

TEST_F(GitTest, AMissingRevisionNamesWhatThereIsAndLeavesNothing) {
  try {
    checkout("mian", "a");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    EXPECT_THAT(error.hint(), HasSubstr("did you mean `main`?"));
  }
  EXPECT_FALSE(fs::exists(dir_.path() / "a"));
}

TEST_F(GitTest, APasswordInAUrlIsNeverShownOrKept) {
  try {
    git_checkout({.url = "http://user:hunter2@127.0.0.1:1/x.git",
                  .revision = "",
                  .destination = dir_.path() / "a",
                  .cache = dir_.path() / "cache"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Unavailable);
    EXPECT_EQ(error.full().find("hunter2"), std::string::npos) << error.full();
  }
}

TEST_F(GitTest, AFolderThatIsNotEmptyIsLeftAlone) {
  make_dirs(dir_.path() / "a");
  write_file(dir_.path() / "a/mine", "x");
  EXPECT_THROW(checkout("main", "a"), Error);
  EXPECT_EQ(read_file(dir_.path() / "a/mine"), "x");
}

}  // namespace
}  // namespace kiln
