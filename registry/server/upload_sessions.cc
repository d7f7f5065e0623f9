#include "registry/server/upload_sessions.h"

#include <algorithm>
#include <unistd.h>

#include "base/error.h"
#include "registry/server/upload_record.h"

namespace kiln::registry::detail {
namespace {

constexpr auto kSweepEvery = std::chrono::minutes(10);

}  // namespace

Upload::Upload(std::string repository_name, std::string owner, std::string algorithm, BlobWriter blob_writer,
               fs::path record)
    : repository(std::move(repository_name)),
      writer(std::move(blob_writer)),
      written(writer.size()),
      owner_(std::move(owner)),
      algorithm_(std::move(algorithm)),
      record_(std::move(record)) {}

Upload::~Upload() {
  if (!suspended_) ::unlink(record_.c_str());
}

void Upload::save(bool flush) {
  const std::string text = UploadRecord{repository, algorithm_, writer.size(), boot_id()}.text();
  if (!flush) {
    write_file(record_, text);
    return;
  }
  writer.flush();
  write_file_atomic(record_, text);
}

void Upload::suspend() {
  writer.suspend();
  suspended_ = true;
}

UploadSessions::~UploadSessions() {
  for (const auto& [id, upload] : uploads_) upload->suspend();
}

fs::path UploadSessions::record_of(std::string_view id) const {
  return store_.root() / Store::kUploads / (std::string(id) + kRecord);
}

void UploadSessions::expire() {
  const Time now = limits_.clock->now();
  std::erase_if(uploads_, [&](const auto& item) {
    return !item.second->busy_ && now - item.second->used_ > limits_.expiry;
  });
}

// By one that has no byte yet, the oldest; `owner`: of theirs.
bool UploadSessions::make_room(const std::string* owner) {
  auto oldest = uploads_.end();
  for (auto it = uploads_.begin(); it != uploads_.end(); ++it) {
    const Upload& upload = *it->second;
    if (upload.busy_ || upload.writer.size() > 0 || (owner && upload.owner_ != *owner)) continue;
    if (oldest == uploads_.end() || upload.used_ < oldest->second->used_) oldest = it;
  }
  if (oldest == uploads_.end()) return false;
  uploads_.erase(oldest);
  return true;
}

std::shared_ptr<Upload> UploadSessions::enter(std::shared_ptr<Upload> upload) {
  std::lock_guard lock(mutex_);
  expire();
  const std::string& owner = upload->owner_;
  const auto is_theirs = [&](const auto& item) { return item.second->owner_ == owner; };
  const auto theirs = static_cast<size_t>(std::ranges::count_if(uploads_, is_theirs));
  if (theirs >= limits_.count_each && !make_room(&owner)) return nullptr;
  if (uploads_.size() >= limits_.count && !make_room(nullptr)) return nullptr;
  upload->used_ = limits_.clock->now();
  uploads_.emplace(upload->id(), upload);
  return upload;
}

std::shared_ptr<Upload> UploadSessions::create(const std::string& repository, std::string_view algorithm,
                                               const std::string& owner) {
  BlobWriter writer = store_.begin_blob(algorithm);
  fs::path record = record_of(writer.id());
  auto upload = std::make_shared<Upload>(repository, owner, std::string(algorithm), std::move(writer),
                                         std::move(record));
  count(*upload);
  return enter(std::move(upload));
}

void UploadSessions::count(Upload& upload) const {
  if (limits_.hooks)
    upload.counted = limits_.hooks->count_upload(upload.repository, upload.id(), upload.writer.size());
}

std::shared_ptr<Upload> UploadSessions::find(std::string_view id, std::string_view repository) {
  std::lock_guard lock(mutex_);
  expire();
  const auto it = uploads_.find(id);
  return it == uploads_.end() || it->second->repository != repository ? nullptr : it->second;
}

std::shared_ptr<Upload> UploadSessions::resume(std::string_view id, std::string_view repository,
                                               const std::string& owner) {
  if (!Store::is_writer_id(id)) return nullptr;
  {
    std::unique_lock lock(mutex_);
    resumed_.wait(lock, [&] { return !resuming_.contains(id); });
    resuming_.emplace(id);
  }
  const OnExit done([&] {
    std::lock_guard lock(mutex_);
    resuming_.erase(resuming_.find(id));
    resumed_.notify_all();
  });
  if (auto here = find(id, repository)) return here;
  return read_back(id, repository, owner);
}

std::shared_ptr<Upload> UploadSessions::read_back(std::string_view id, std::string_view repository,
                                                  const std::string& owner) {
  std::optional<UploadRecord> record;
  try {
    record = UploadRecord::parse(read_file(record_of(id), kRecordLimit));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::Infrastructure) throw;
  }
  if (!record || record->repository != repository) return nullptr;
  auto writer =
      store_.resume_blob(id, record->algorithm, [&](uint64_t size) { return record->trusted(size); });
  if (!writer) return nullptr;
  auto upload = std::make_shared<Upload>(record->repository, owner, record->algorithm, std::move(*writer),
                                         record_of(id));
  OnExit stays([&] { upload->suspend(); });
  upload->save();  // what is reported now is to survive the machine, too
  count(*upload);
  auto entered = enter(upload);
  if (entered) stays.dismiss();
  return entered;
}

void UploadSessions::drop(const std::string& id) {
  std::lock_guard lock(mutex_);
  uploads_.erase(id);
}

bool UploadSessions::is_time_to_sweep() {
  std::lock_guard lock(mutex_);
  expire();
  const Time now = limits_.clock->now();
  if (now - swept_ < kSweepEvery) return false;
  swept_ = now;
  return true;
}

UploadSessions::Claim::Claim(UploadSessions& sessions, std::shared_ptr<Upload> upload)
    : sessions_(sessions), upload_(std::move(upload)) {
  std::lock_guard lock(sessions_.mutex_);
  if (!upload_ || upload_->busy_)
    upload_.reset();
  else
    upload_->busy_ = true;
}

UploadSessions::Claim::~Claim() {
  if (!upload_) return;
  std::lock_guard lock(sessions_.mutex_);
  upload_->busy_ = false;
  upload_->used_ = sessions_.limits_.clock->now();
}

}  // namespace kiln::registry::detail
