// Uploads are carried on by the next process: the one before may have ended in any way.
#include "registry/server/upload_sessions.h"

#include <future>
#include <gtest/gtest.h>
#include <latch>

#include "registry/server/upload_record.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry::detail {
namespace {

// One server process: everything anew over the folder.
struct Process {
  explicit Process(const fs::path& root, RegistryHooks* hooks = nullptr)
      : store(root),
        registry(store, {.hooks = hooks}),
        server(on_free_port(), [this](HttpExchange& exchange) { return registry.handle(exchange); }) {}
  std::string url(std::string_view target) const {
    return "http://" + server.authority() + std::string(target);
  }
  HttpResponse ask(std::string method, std::string_view target, HttpHeaders headers = {},
                   std::string body = {}) {
    return client.send({.method = std::move(method),
                        .url = url(target),
                        .headers = std::move(headers),
                        .body = HttpBody::of_text(std::move(body))});
  }
  Store store;
  RegistryServer registry;
  HttpServer server;
  HttpClient client;
};

class UploadSessionsTest : public testing::Test {
 protected:
  UploadSessions::Limits limits() { return {std::chrono::hours(1), 3, &clock_}; }
  // What a process that was killed leaves: files that nobody has locked.
  std::string leave(const std::string& bytes, const UploadRecord& record) {
    const std::string id(32, 'a');
    write_file(uploads_ / id, bytes);
    write_file(uploads_ / (id + ".session"), record.text());
    return id;
  }
  std::set<std::string> files() {
    std::set<std::string> out;
    for (const auto& entry : fs::directory_iterator(uploads_)) out.insert(entry.path().filename());
    return out;
  }

  TempDir dir_;
  Store store_{dir_.path()};
  const fs::path uploads_ = dir_.path() / "uploads";
  ManualClock clock_;
};

TEST_F(UploadSessionsTest, AnotherServerCarriesOnWhereTheFirstOneStopped) {
  std::string location;
  {
    Process first(dir_.path());
    location = first.ask("POST", "/v2/a/b/blobs/uploads/").headers.get("Location");
    EXPECT_EQ(first.ask("PATCH", location, {{"Content-Range", "0-2"}}, "abc").status, 202);
  }
  Process second(dir_.path());
  EXPECT_EQ(second.ask("PATCH", location, {{"Content-Range", "0-2"}}, "abc").status, 416);
  const HttpResponse status = second.ask("GET", location);
  EXPECT_EQ(status.status, 204);
  EXPECT_EQ(status.headers.get("Range"), "0-2");
  EXPECT_EQ(second.ask("PATCH", location, {{"Content-Range", "3-5"}}, "def").status, 202);
  EXPECT_EQ(second.ask("PUT", location + "?digest=" + sha256("abcdef").text()).status, 201);
  EXPECT_EQ(second.store.read(sha256("abcdef")), "abcdef");
  EXPECT_TRUE(fs::is_empty(uploads_));
}

// The owner is asked while one is taken up again: here he lets them wait until all have come.
TEST_F(UploadSessionsTest, ManyThatAreReadAgainWaitForNobodyAndKeepNobodyElseWaiting) {
  constexpr int kUploads = 20;  // more than the server's pool has threads
  struct Hooks final : RegistryHooks {
    std::unique_ptr<UploadCount> count_upload(std::string_view, std::string_view, uint64_t size) override {
      if (size == 0) return nullptr;
      come.count_down();
      opened.wait();
      return nullptr;
    }
    std::latch come{kUploads};
    std::promise<void> open;
    std::shared_future<void> opened{open.get_future().share()};
  } hooks;
  std::vector<std::string> locations;
  {
    Process first(dir_.path());
    for (int i = 0; i < kUploads; ++i) {
      locations.emplace_back(first.ask("POST", "/v2/a/b/blobs/uploads/").headers.get("Location"));
      EXPECT_EQ(first.ask("PATCH", locations.back(), {}, "abc").status, 202);
    }
  }
  Process second(dir_.path(), &hooks);
  std::vector<std::future<int>> resumed;
  for (const std::string& location : locations)
    resumed.push_back(std::async(std::launch::async,
                                 [&] { return HttpClient().send({.url = second.url(location)}).status; }));
  hooks.come.wait();
  EXPECT_EQ(second.ask("GET", "/v2/a/b/manifests/v1").status, 404) << "an answer";
  hooks.open.set_value();
  for (auto& status : resumed) EXPECT_EQ(status.get(), 204);
}

TEST_F(UploadSessionsTest, AnUploadWithoutBytesSurvivesToo) {
  std::string location;
  {
    Process first(dir_.path());
    location = first.ask("POST", "/v2/a/b/blobs/uploads/?digest-algorithm=sha512").headers.get("Location");
  }
  Process second(dir_.path());
  Hasher hasher("sha512");
  hasher.update("x");
  EXPECT_EQ(second.ask("PUT", location + "?digest=" + hasher.finish().text(), {}, "x").status, 201);
}

TEST_F(UploadSessionsTest, AnUploadOfALivingProcessIsNotTaken) {
  UploadSessions first(store_, limits()), second(store_, limits());
  const auto upload = first.create("a", "sha256", "alice");
  upload->writer.write("abc");
  upload->save();
  EXPECT_EQ(second.resume(upload->id(), "a", "alice"), nullptr);
  upload->writer.write("def");
  EXPECT_EQ(upload->writer.commit(sha256("abcdef")), sha256("abcdef"));
}

TEST_F(UploadSessionsTest, BelongsToItsRepository) {
  const std::string id = leave("abc", {"a", "sha256", 3, boot_id()});
  UploadSessions sessions(store_, limits());
  EXPECT_EQ(sessions.resume(id, "b", "alice"), nullptr);
  EXPECT_NE(sessions.resume(id, "a", "alice"), nullptr);
  EXPECT_EQ(sessions.find(id, "b"), nullptr);
}

TEST_F(UploadSessionsTest, TrustsWhatTheKernelHasUntilTheMachineIsStartedAnew) {
  const auto size_after = [&](const std::string& boot) {
    const std::string id = leave("abcdef", {"a", "sha256", 4, boot});
    UploadSessions sessions(store_, limits());
    const auto upload = sessions.resume(id, "a", "alice");
    const uint64_t size = upload->writer.size();
    upload->writer.write("!");
    upload->writer.commit(sha256(std::string("abcdef").substr(0, size) + "!"));
    return size;
  };
  EXPECT_EQ(size_after(boot_id()), 6u);
  EXPECT_EQ(size_after("another"), 4u);
}

TEST_F(UploadSessionsTest, NamesThatAreNoUploadsAreRefused) {
  const std::string id = leave("abc", {"a", "sha256", 3, boot_id()});
  UploadSessions sessions(store_, limits());
  for (const std::string& bad : {std::string("../") + id, id + ".session", std::string(32, 'g'), id + "a"})
    EXPECT_EQ(sessions.resume(bad, "a", "alice"), nullptr) << bad;
  fs::remove(uploads_ / id);
  fs::create_symlink("/etc/passwd", uploads_ / id);
  EXPECT_EQ(sessions.resume(id, "a", "alice"), nullptr);
}

TEST_F(UploadSessionsTest, ATornRecordIsAnUploadLost) {
  const std::string id = leave("abc", {"a", "sha256", 3, boot_id()});
  const std::string whole = read_file(uploads_ / (id + ".session"));
  UploadSessions sessions(store_, limits());
  for (const std::string& text :
       {whole.substr(0, whole.size() / 2), std::string(), std::string("[]"),
        std::string(R"({"repository":"../x","algorithm":"sha256","flushed":1,"boot":""})"),
        std::string(R"({"repository":"a","algorithm":"md5","flushed":1,"boot":""})"),
        std::string(R"({"repository":"a","algorithm":"sha256","flushed":-1,"boot":""})")}) {
    write_file(uploads_ / (id + ".session"), text);
    EXPECT_EQ(sessions.resume(id, "a", "alice"), nullptr) << text;
  }
  write_file(uploads_ / (id + ".session"), whole);
  EXPECT_NE(sessions.resume(id, "a", "alice"), nullptr);
}

TEST_F(UploadSessionsTest, ResumedUploadsCountAgainstTheLimitAndStayWhenThereAreTooMany) {
  const std::string id = leave("abc", {"a", "sha256", 3, boot_id()});
  UploadSessions sessions(store_, limits());
  for (int i = 0; i < 3; ++i) {
    const auto upload = sessions.create("a", "sha256", "alice");
    ASSERT_NE(upload, nullptr);
    upload->writer.write("x");
  }
  EXPECT_EQ(sessions.resume(id, "a", "alice"), nullptr);
  EXPECT_EQ(read_file(uploads_ / id), "abc");
  clock_.advance(std::chrono::hours(2));
  EXPECT_NE(sessions.resume(id, "a", "alice"), nullptr);
}

TEST_F(UploadSessionsTest, OneOwnerDoesNotUseUpWhatIsForAll) {
  UploadSessions::Limits each = limits();
  each.count_each = 2;
  UploadSessions sessions(store_, each);
  for (int i = 0; i < 2; ++i) sessions.create("a", "sha256", "mallory")->writer.write("x");
  EXPECT_EQ(sessions.create("a", "sha256", "mallory"), nullptr);
  EXPECT_NE(sessions.create("a", "sha256", "alice"), nullptr);
}

TEST_F(UploadSessionsTest, OnesThatNeverHadAByteMakeRoomTheOldestFirst) {
  UploadSessions sessions(store_, limits());
  const auto used = sessions.create("a", "sha256", "alice");
  used->writer.write("x");
  clock_.advance(std::chrono::seconds(1));
  const std::string oldest = sessions.create("a", "sha256", "mallory")->id();
  clock_.advance(std::chrono::seconds(1));
  const std::string younger = sessions.create("a", "sha256", "mallory")->id();
  EXPECT_NE(sessions.create("b", "sha256", "bob"), nullptr);
  EXPECT_EQ(sessions.find(oldest, "a"), nullptr);
  EXPECT_NE(sessions.find(younger, "a"), nullptr);
  EXPECT_NE(sessions.find(used->id(), "a"), nullptr);
}

TEST_F(UploadSessionsTest, AbandonedOnesAreSweptWithTheirRecord) {
  const std::string id = leave("abc", {"a", "sha256", 3, boot_id()});
  write_file(uploads_ / (std::string(32, 'b') + ".session"), "left alone");
  const auto age = [&](const std::string& name) {
    fs::last_write_time(uploads_ / name, fs::file_time_type::clock::now() - std::chrono::hours(5));
  };
  UploadSessions sessions(store_, limits());
  const auto living = sessions.create("a", "sha256", "alice");
  living->save();
  age(living->id());
  age(living->id() + ".session");
  age(id + ".session");
  store_.remove_abandoned_uploads();
  EXPECT_EQ(files().size(), 5u) << "the record of an upload goes after it";
  age(id);
  age(std::string(32, 'b') + ".session");
  store_.remove_abandoned_uploads();
  EXPECT_EQ(files(), (std::set<std::string>{living->id(), living->id() + ".session"}));
}

}  // namespace
}  // namespace kiln::registry::detail
