#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fs.h"
#include "registry/server/registry_hooks.h"
#include "registry/store/store.h"

// Inside of registry/server_uploads: the uploads under way. What one needs to go on in another process lies
// on disk (upload_record.h): it ends by its commit, by being cancelled or by its age, not with the process.
namespace kiln::registry::detail {

class Upload {
 public:
  // `record` is the file about it.
  Upload(std::string repository_name, std::string owner, std::string algorithm, BlobWriter blob_writer,
         fs::path record);
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;
  ~Upload();  // removes it, unless it was suspended

  const std::string& id() const { return writer.id(); }
  // What was received is on disk, and the next process will know. `flush` may be left out while it is
  // nothing.
  void save(bool flush = true);
  void suspend();

  const std::string repository;
  BlobWriter writer;                                      // of the one who has claimed it
  std::atomic<uint64_t> written{0};                       // so much of it is there, for everybody
  std::unique_ptr<RegistryHooks::UploadCount> counted{};  // null: nobody counts

 private:
  friend class UploadSessions;
  const std::string owner_, algorithm_;
  const fs::path record_;
  bool suspended_ = false;
  bool busy_ = false;  // guarded by the sessions' mutex, as is `used_`
  Time used_{};
};

// Thread-safe; each upload takes one request at a time.
class UploadSessions {
 public:
  struct Limits {
    Duration expiry;
    size_t count;
    const Clock* clock;
    size_t count_each = SIZE_MAX;  // of one owner
    RegistryHooks* hooks = nullptr;
  };
  UploadSessions(Store& store, Limits limits) : store_(store), limits_(limits) {}
  ~UploadSessions();  // suspends them

  // Null when there are too many, of this owner (a user, an address) or of all, and none of them is still
  // without a byte: of such ones the oldest makes room.
  std::shared_ptr<Upload> create(const std::string& repository, std::string_view algorithm,
                                 const std::string& owner);
  // Null when this process has none.
  std::shared_ptr<Upload> find(std::string_view id, std::string_view repository);
  // As find(); also what an earlier process has left, whose bytes are read again: blocks. Null, too, for
  // what a living process has.
  std::shared_ptr<Upload> resume(std::string_view id, std::string_view repository, const std::string& owner);
  void drop(const std::string& id);
  // What writers that were killed have left is removed every now and then, not at the next start only. Those
  // of this process that are too old go at once.
  bool is_time_to_sweep();

  // Exclusive use of an upload for one request; false when another has it.
  class Claim {
   public:
    Claim(UploadSessions& sessions, std::shared_ptr<Upload> upload);
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    ~Claim();
    explicit operator bool() const { return upload_ != nullptr; }

   private:
    UploadSessions& sessions_;
    std::shared_ptr<Upload> upload_;
  };

 private:
  std::shared_ptr<Upload> enter(std::shared_ptr<Upload> upload);
  void count(Upload& upload) const;
  std::shared_ptr<Upload> read_back(std::string_view id, std::string_view repository,
                                    const std::string& owner);
  fs::path record_of(std::string_view id) const;
  void expire();
  bool make_room(const std::string* owner);

  Store& store_;
  const Limits limits_;
  std::mutex mutex_;
  // Those that are being read; whoever wants the same one finds it afterwards.
  std::set<std::string, std::less<>> resuming_;
  std::condition_variable resumed_;
  Time swept_{};
  std::map<std::string, std::shared_ptr<Upload>, std::less<>> uploads_;
};

}  // namespace kiln::registry::detail
