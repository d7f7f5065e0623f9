// Files, folders, SQLite and git: what touches the machine.
#include <cstdlib>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "base/dirs.h"
#include "base/error.h"
#include "base/file_replacement.h"
#include "base/fs.h"
#include "base/git.h"
#include "base/named_lock.h"
#include "base/process.h"
#include "base/sqlite.h"
#include "tests/unit/base/command.h"

namespace kiln {
namespace {

using testing::HasSubstr;

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

TEST(FsTest, ATemporaryFolderThatIsNotThereIsNamed) {
  const char* before = ::getenv("TMPDIR");
  const std::string kept = before ? before : "/tmp";
  ::setenv("TMPDIR", "/no/such/folder", 1);
  const OnExit restore([&] { ::setenv("TMPDIR", kept.c_str(), 1); });
  try {
    const TempDir dir;
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("/no/such/folder"));
  }
}

TEST(FsTest, ALockIsOnWhatHasTheNameNow) {
  const TempDir dir;
  const fs::path file = dir.path() / "lock";
  UniqueFd first = lock_named(file, O_RDWR | O_CREAT, 0600, Wait::No);
  EXPECT_TRUE(first);
  EXPECT_FALSE(lock_named(file, O_RDWR | O_CREAT, 0600, Wait::No));
  fs::remove(file);  // by whoever holds it
  const UniqueFd second = lock_named(file, O_RDWR | O_CREAT, 0600, Wait::No);
  EXPECT_TRUE(second);
  EXPECT_FALSE(lock_named(file, O_RDWR | O_CREAT, 0600, Wait::No));
  EXPECT_THROW(lock_named(dir.path() / "none", O_RDWR, 0, Wait::No), Error);
}

TEST(FsTest, WhoWaitedForALockThatIsGoneTakesTheNewOne) {
  const TempDir dir;
  const fs::path file = dir.path() / "lock";
  UniqueFd first = lock_named(file, O_RDWR | O_CREAT, 0600, Wait::Yes);
  UniqueFd waited;
  std::jthread waiter([&] { waited = lock_named(file, O_RDWR | O_CREAT, 0600, Wait::Yes); });
  fs::remove(file);
  first.reset();
  waiter.join();
  struct stat held, there;
  ASSERT_EQ(::fstat(waited.get(), &held), 0);
  ASSERT_EQ(::stat(file.c_str(), &there), 0);
  EXPECT_EQ(held.st_ino, there.st_ino);
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

TEST(DirsTest, OneRootHoldsEverything) {
  const Dirs dirs = Dirs::under("/x/y/../z");
  EXPECT_EQ(dirs.store(), "/x/z/data/store");
  EXPECT_EQ(dirs.database(), "/x/z/state/kiln.db");
  EXPECT_EQ(dirs.runs(), "/x/z/state/runs");
}

// A variable that is not there while this is.
class Unset {
 public:
  explicit Unset(const char* name) : name_(name) {
    if (const char* value = ::getenv(name)) value_ = value;
    ::unsetenv(name);
  }
  ~Unset() {
    if (value_) ::setenv(name_, value_->c_str(), 1);
  }

 private:
  const char* name_;
  std::optional<std::string> value_;
};

// Who this process is while this is there; needs root.
class OtherUser {
 public:
  explicit OtherUser(uid_t user) { EXPECT_EQ(::seteuid(user), 0); }
  ~OtherUser() { EXPECT_EQ(::seteuid(0), 0); }
};

TEST(DirsTest, WithoutHomeTheUsersEntryCountsAndNobodyElsesFolder) {
  if (::geteuid() != 0) GTEST_SKIP() << "being somebody else needs root";
  constexpr uid_t kNobody = 65534, kUnknown = 2'000'000'000;
  const passwd* nobody = ::getpwuid(kNobody);
  if (!nobody) GTEST_SKIP() << "there is no user " << kNobody;
  const fs::path home = nobody->pw_dir;
  const Unset home_variable("HOME"), data("XDG_DATA_HOME"), state("XDG_STATE_HOME"), cache("XDG_CACHE_HOME"),
      config("XDG_CONFIG_HOME");
  {
    const OtherUser somebody(kNobody);
    EXPECT_EQ(Dirs::of_user().data, home / ".local/share/kiln");
  }
  const OtherUser nobody_known(kUnknown);
  try {
    Dirs::of_user();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Usage);
    EXPECT_THAT(error.hint(), HasSubstr("--root"));
  }
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

TEST(GitUrlTest, LosesWhatIsSecretInItAndNothingElse) {
  EXPECT_EQ(without_password("https://user:hunter2@h/x.git"), "https://h/x.git");
  EXPECT_EQ(without_password("https://token@h/x@y.git"), "https://h/x@y.git");
  EXPECT_EQ(without_password("ssh://git@h/x.git"), "ssh://git@h/x.git") << "who to log in as is no secret";
  EXPECT_EQ(without_password("ssh://git:hunter2@h/x.git"), "ssh://git@h/x.git");
  EXPECT_EQ(without_password("https://h/x@y.git"), "https://h/x@y.git");
  EXPECT_EQ(without_password("git@h:x.git"), "git@h:x.git");
}

TEST_F(GitTest, AFolderThatIsNotEmptyIsLeftAlone) {
  make_dirs(dir_.path() / "a");
  write_file(dir_.path() / "a/mine", "x");
  EXPECT_THROW(checkout("main", "a"), Error);
  EXPECT_EQ(read_file(dir_.path() / "a/mine"), "x");
}

}  // namespace
}  // namespace kiln
