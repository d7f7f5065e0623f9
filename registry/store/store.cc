#include "registry/store/store.h"

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <fcntl.h>
#include <mutex>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file_replacement.h"
#include "base/fs.h"
#include "registry/store/index_full.h"
#include "registry/store/store_blobs.h"

namespace kiln::registry {
namespace {

// What is written; what is read may be larger, so that a store of before there was this limit can be mended.
constexpr uint64_t kIndexLimit = 64u << 20, kIndexReadLimit = 256u << 20;
constexpr size_t kTextKept = 4u << 20;
constexpr const char* kSession = ".session";
constexpr auto kAbandonedAfter = std::chrono::hours(1);

IndexFull full(const fs::path& index) {
  return IndexFull(ErrorKind::Infrastructure,
                   "the store's index " + index.string() + " is full: it may have " +
                       std::to_string(kIndexLimit >> 20) + " MiB",
                   "delete tags that nobody needs, e.g. by a [[registry.retention]] rule");
}

}  // namespace

// index.json as it was last read or written, and the changes that wait to be written together.
struct Store::Names {
  struct Waiting {
    const std::function<void(IndexEdit&)>& change;
    bool done;
    std::exception_ptr failure;
  };

  void remember(std::shared_ptr<const StoreIndex> read, UniqueFd file) {
    struct stat st;
    if (::fstat(file.get(), &st) != 0) return;
    std::lock_guard lock(mutex);
    index = std::move(read);
    stamp = detail::stamp_of(st);
    fd = std::move(file);
  }

  void write(const Store& store, const std::vector<Waiting*>& batch);

  std::mutex mutex;
  std::shared_ptr<const StoreIndex> index;
  detail::FileStamp stamp;
  UniqueFd fd;  // while it is open, its inode cannot be another file's: times alone are too coarse
  std::condition_variable turn;
  std::vector<Waiting*> queue;
  // Of the one that is `busy`:
  std::string text;               // its memory: to get so much anew each time is slow
  std::optional<IndexEdit> edit;  // as the index was last written here
  bool busy = false;
};

void Store::Names::write(const Store& store, const std::vector<Waiting*>& batch) {
  const FileLock lock = store.lock_names();
  if (!edit || edit->base() != store.index()) edit.emplace(store.index());
  OnExit starts_anew([&] { edit.reset(); });  // what is not on disk is no base for others' changes
  for (Waiting* waiting : batch) {
    try {
      if (!edit->apply(waiting->change, kIndexLimit)) throw full(store.root() / "index.json");
    } catch (...) {
      waiting->failure = std::current_exception();
    }
  }
  if (!edit->changed()) {
    edit->carry_on(edit->base());  // forgets what was refused
    starts_anew.dismiss();
    store.files_->sync_folders();
    return;
  }
  auto changed = edit->finish();
  const fs::path file = store.root() / "index.json";
  changed->write_text(text);
  FileReplacement replacement(file, text);
  if (text.capacity() > kTextKept) std::string().swap(text);
  store.files_->sync_folders();  // what it names is there before it
  replacement.publish();
  remember(changed, open_file(file, O_RDONLY));
  edit->carry_on(std::move(changed));
  starts_anew.dismiss();
}

Store::Store(std::filesystem::path root, Folder kind)
    : root_(std::move(root)),
      kind_(kind),
      files_(std::make_shared<detail::BlobFiles>(root_, kind == Folder::Own)),
      names_(std::make_unique<Names>()) {
  if (kind_ == Folder::ReadOnly) return;
  make_dirs(root_ / "blobs" / "sha256");
  if (kind_ == Folder::Own) {
    // Layers hold programs that are root's with the set-user-ID bit, and images may be nobody else's to read.
    ::chmod(root_.c_str(), 0700);
    make_dirs(root_ / kUploads);
    for (const char* lock : {detail::kNamesLock, detail::kSweepLock})
      open_file(root_ / lock, O_RDWR | O_CREAT, 0644);
  }
  // index.json first: a folder with `oci-layout` is a whole layout.
  const FileLock lock = lock_names();
  if (!std::filesystem::exists(root_ / "index.json"))
    write_file_atomic(root_ / "index.json", R"({"schemaVersion":2,"mediaType":")" +
                                                std::string(media::kIndex) + R"(","manifests":[]})");
  if (!std::filesystem::exists(root_ / "oci-layout"))
    write_file_atomic(root_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  remove_abandoned_uploads();
}

Store::Store(Store&&) noexcept = default;
Store::~Store() {
  if (files_ && kind_ == Folder::Exchanged)
    ::rmdir((root_ / kUploads).c_str());  // where another's are, it stays
}

std::shared_ptr<const StoreIndex> Store::index() const {
  const fs::path file = root_ / "index.json";
  struct stat st;
  if (::stat(file.c_str(), &st) != 0) throw_errno("cannot read " + file.string());
  {
    std::lock_guard lock(names_->mutex);
    if (names_->index && names_->stamp == detail::stamp_of(st)) return names_->index;
  }
  UniqueFd fd = open_file(file, O_RDONLY);
  if (::fstat(fd.get(), &st) != 0) throw_errno("cannot read " + file.string());
  const std::string text = read_file("/proc/self/fd/" + std::to_string(fd.get()), kIndexReadLimit);
  auto index = StoreIndex::parse(text, file.string());
  names_->remember(index, std::move(fd));
  return index;
}

void Store::update(const std::function<void(IndexEdit&)>& change) {
  Names::Waiting mine{change, false, nullptr};
  std::unique_lock lock(names_->mutex);
  names_->queue.push_back(&mine);
  names_->turn.wait(lock, [&] { return mine.done || !names_->busy; });
  if (!mine.done) {
    names_->busy = true;
    const std::vector<Names::Waiting*> batch = std::exchange(names_->queue, {});
    lock.unlock();
    std::exception_ptr failure;
    try {
      names_->write(*this, batch);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    for (Names::Waiting* waiting : batch) {
      if (!waiting->failure) waiting->failure = failure;
      waiting->done = true;
    }
    names_->busy = false;
    names_->turn.notify_all();
  }
  lock.unlock();
  if (mine.failure) std::rethrow_exception(mine.failure);
}

FileLock Store::lock_names() const {
  return detail::lock_in(root_, detail::kNamesLock, root_, FileLock::Mode::Exclusive);
}

std::vector<Descriptor> Store::entries() const {
  std::vector<Descriptor> out;
  for (const StoreIndex::Entry& entry : index()->entries()) out.push_back(entry->descriptor);
  return out;
}

namespace {

Descriptor without_name(Descriptor entry) {
  entry.annotations.erase(Store::kRefName);
  return entry;
}

}  // namespace

std::optional<Descriptor> Store::resolve(std::string_view name) const {
  const auto names = index();
  const IndexEntry* entry = names->find(name);
  if (!entry) return std::nullopt;
  return without_name(entry->descriptor);
}

void Store::tag(std::string_view name, const Descriptor& descriptor) {
  update([&](IndexEdit& edit) { edit.name(name, descriptor); });
}

bool Store::untag(std::string_view name) {
  bool found = false;
  update([&](IndexEdit& edit) { found = edit.remove(name); });
  return found;
}

std::vector<std::pair<std::string, Descriptor>> Store::list() const {
  std::vector<std::pair<std::string, Descriptor>> out;
  for (const StoreIndex::Entry& entry : index()->entries())
    if (!entry->name.empty()) out.emplace_back(entry->name, without_name(entry->descriptor));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return out;
}

Image Store::load(const Descriptor& descriptor) const {
  Descriptor at = descriptor;
  if (is_index(at.media_type))
    at = find_platform(read(at.digest), "linux", machine_architecture(), {},
                       [&](const Descriptor& document) { return read(document.digest); });
  Manifest manifest = parse_manifest(read(at.digest));
  ImageConfig config = parse_config(read(manifest.config.digest));
  if (at.media_type.empty()) at.media_type = manifest.media_type;
  return {std::move(at), std::move(manifest), std::move(config)};
}

void Store::remove_abandoned_uploads() const {
  std::error_code ignored;
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const auto& entry : std::filesystem::directory_iterator(root_ / kUploads, ignored)) {
    const auto written = entry.last_write_time(ignored);
    if (ignored || now - written < kAbandonedAfter) continue;
    UniqueFd fd(::open(entry.path().c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
    // Beside a writer's file may lie one about it, ID.session: it goes after the file.
    const auto writer = entry.path().parent_path() / entry.path().stem();
    if (entry.path().extension() == kSession && ::access(writer.c_str(), F_OK) == 0) continue;
    ::unlink(entry.path().c_str());
    if (entry.path().extension().empty()) ::unlink((entry.path().string() + kSession).c_str());
  }
}

}  // namespace kiln::registry
