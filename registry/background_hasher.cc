#include "registry/background_hasher.h"

#include <system_error>

namespace kiln::registry {
namespace {

constexpr size_t kOnTheirWay = 4;  // pieces: more would cost memory and save nothing

}  // namespace

BackgroundHasher::~BackgroundHasher() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    if (pieces_.size() > 1) pieces_.resize(1);  // nobody will ask for the digest
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void BackgroundHasher::update(std::string_view bytes) {
  catch_up();
  hasher_.update(bytes);
}

std::string BackgroundHasher::update_later(std::string piece) {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { work(); });
    } catch (const std::system_error&) {  // no more threads for this user: it is only slower
      hasher_.update(piece);
      piece.clear();
      return piece;
    }
  }
  changed_.wait(lock, [&] { return pieces_.size() < kOnTheirWay; });
  const size_t room = piece.capacity();
  pieces_.push_back(std::move(piece));
  changed_.notify_all();
  std::string next;
  if (spares_.empty()) {
    next.reserve(room);
  } else {
    next = std::move(spares_.back());
    spares_.pop_back();
  }
  return next;
}

Digest BackgroundHasher::finish() {
  catch_up();
  return hasher_.finish();
}

void BackgroundHasher::rest() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  ending_ = false;
  spares_ = {};
}

void BackgroundHasher::catch_up() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return pieces_.empty(); });
}

void BackgroundHasher::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ending_ || !pieces_.empty(); });
    if (pieces_.empty()) return;
    std::string& piece = pieces_.front();
    lock.unlock();
    hasher_.update(piece);
    lock.lock();
    piece.clear();
    spares_.push_back(std::move(piece));
    pieces_.pop_front();
    changed_.notify_all();
  }
}

}  // namespace kiln::registry
