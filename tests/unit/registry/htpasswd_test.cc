#include "registry/server/htpasswd.h"

#include <crypt.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace kiln::registry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Of "secret", as cheap as bcrypt gets.
std::string hashed(const std::string& password, const char* kind = "$2y$") {
  crypt_data room{};
  return ::crypt_r(password.c_str(), (std::string(kind) + "04$abcdefghijklmnopqrstuu").c_str(), &room);
}

struct File {
  explicit File(const std::string& text) { write_file(path, text); }
  TempDir dir;
  fs::path path = dir.path() / "users";
};

TEST(Htpasswd, KnowsBcryptInAllItsSpellings) {
  for (const char* kind : {"$2a$", "$2b$", "$2y$"}) {
    const File file("alice:" + hashed("secret", kind) + "\n");
    const Htpasswd users(file.path);
    EXPECT_TRUE(users.check("alice", "secret")) << kind;
    EXPECT_FALSE(users.check("alice", "Secret")) << kind;
    EXPECT_FALSE(users.check("alice", "")) << kind;
    EXPECT_FALSE(users.check("bob", "secret")) << kind;
  }
}

TEST(Htpasswd, KnowsWhatApacheWrites) {
  // `htpasswd -nbB -C 5 bob pass` of Apache 2.4.
  const File file("# users\n\n  carol:" + hashed("x") + "\r\nbob:" + hashed("pass:word") + "\n");
  const Htpasswd users(file.path);
  EXPECT_TRUE(users.check("carol", "x"));
  EXPECT_TRUE(users.check("bob", "pass:word"));
}

TEST(Htpasswd, APasswordDoesNotEndAtANulByte) {
  const File file("alice:" + hashed("secret") + "\n");
  EXPECT_FALSE(Htpasswd(file.path).check("alice", std::string_view("secret\0more", 11)));
}

TEST(Htpasswd, RemembersWhatWasRightUntilTheFileChanges) {
  const File file("alice:" + hashed("secret") + "\n");
  const Htpasswd users(file.path);
  EXPECT_EQ(users.check_known("alice", "secret"), std::nullopt);
  EXPECT_TRUE(users.check("alice", "secret"));
  EXPECT_EQ(users.check_known("alice", "secret"), true);
  EXPECT_EQ(users.check_known("alice", "other"), std::nullopt);
  const std::string before = users.fingerprint("alice");
  write_file_atomic(file.path, "alice:" + hashed("changed") + "\nbob:" + hashed("b") + "\n");
  EXPECT_EQ(users.check_known("alice", "secret"), std::nullopt);
  EXPECT_FALSE(users.check("alice", "secret"));
  EXPECT_TRUE(users.check("alice", "changed"));
  EXPECT_TRUE(users.check("bob", "b"));
  EXPECT_NE(users.fingerprint("alice"), before);
  EXPECT_EQ(users.fingerprint("nobody"), "");
}

TEST(Htpasswd, AFileThatIsGoneOrDamagedLocksOutAndDoesNotEndTheServer) {
  const File file("alice:" + hashed("secret") + "\n");
  const Htpasswd users(file.path);
  EXPECT_TRUE(users.check("alice", "secret"));
  write_file_atomic(file.path, "alice:plain\nbob:" + hashed("b") + "\n");
  EXPECT_FALSE(users.check("alice", "plain"));
  EXPECT_TRUE(users.check("bob", "b"));
  fs::remove(file.path);
  EXPECT_FALSE(users.check("bob", "b"));
  write_file_atomic(file.path, "alice:" + hashed("secret") + "\n");
  EXPECT_TRUE(users.check("alice", "secret"));
}

TEST(Htpasswd, SaysWhatIsWrongWithALine) {
  const auto problems = [](const std::string& text) { return Htpasswd::parse(text).problems; };
  EXPECT_THAT(problems("alice:" + hashed("x")), IsEmpty());
  EXPECT_THAT(problems("\nalice"), ElementsAre("line 2: not NAME:HASH"));
  for (const char* other : {"$apr1$abc$def", "{SHA}abc", "plain", "$5$a$b", "$2y$10$short", ""})
    EXPECT_THAT(problems(std::string("alice:") + other),
                ElementsAre(HasSubstr("not a bcrypt hash ($2y$…); make it with `htpasswd -B FILE alice`")));
  EXPECT_THAT(problems(":" + hashed("x")), ElementsAre(HasSubstr("no user's name")));
  EXPECT_THAT(problems("*:" + hashed("x")), ElementsAre(HasSubstr("cannot be a user")));
  EXPECT_THAT(problems("anonymous:" + hashed("x")), ElementsAre(HasSubstr("cannot be a user")));
  EXPECT_THAT(problems("a:" + hashed("x") + "\na:" + hashed("y")), ElementsAre(HasSubstr("there twice")));
  std::string dear = hashed("x");
  dear.replace(4, 2, "31");
  EXPECT_THAT(problems("a:" + dear), ElementsAre(HasSubstr("cost 31")));
}

TEST(Htpasswd, WrongAtTheStartIsAnError) {
  const File file("alice:plain\n");
  EXPECT_THROW(Htpasswd(file.path), Error);
  EXPECT_THROW(Htpasswd(file.dir.path() / "none"), Error);
}

}  // namespace
}  // namespace kiln::registry
