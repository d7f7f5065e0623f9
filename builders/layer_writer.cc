#include "builders/layer_writer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <isa-l.h>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fs.h"
#include "builders/tree_entries.h"
#include "registry/store/store.h"

namespace kiln::builders {
namespace {

// Large enough that the dictionary lost at each boundary costs under 1 %, small enough to spread.
constexpr size_t kChunk = 1u << 20;
constexpr int kLevel = 1;

// One chunk as raw deflate blocks that end on a byte boundary, so that chunks can be joined.
std::string deflate_chunk(std::string_view input) {
  thread_local std::vector<uint8_t> level_buffer(ISAL_DEF_LVL1_DEFAULT);
  isal_zstream stream;
  isal_deflate_init(&stream);
  stream.level = kLevel;
  stream.level_buf = level_buffer.data();
  stream.level_buf_size = static_cast<uint32_t>(level_buffer.size());
  stream.flush = FULL_FLUSH;
  stream.end_of_stream = 0;
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(input.data()));
  stream.avail_in = static_cast<uint32_t>(input.size());
  std::string output(input.size() + input.size() / 8 + 4096, '\0');
  size_t have = 0;
  do {
    if (output.size() - have < 4096) output.resize(output.size() * 2);
    stream.next_out = reinterpret_cast<uint8_t*>(output.data() + have);
    stream.avail_out = static_cast<uint32_t>(output.size() - have);
    if (isal_deflate(&stream) != COMP_OK) throw Error(ErrorKind::Infrastructure, "layer compression failed");
    have = output.size() - stream.avail_out;
  } while (stream.avail_in > 0 || stream.avail_out == 0);
  output.resize(have);
  return output;
}

// gzip member header: no name, no time, "unknown" system (RFC 1952).
constexpr std::string_view kHeader{"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", 10};
constexpr std::string_view kLastBlock{"\x03\x00", 2};  // an empty final block of fixed Huffman codes

std::string little_endian(uint32_t value) {
  std::string out;
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift & 0xff);
  return out;
}

}  // namespace

#define KILN_TEXT_OF(x) #x
#define KILN_TEXT(x) KILN_TEXT_OF(x)
std::string_view layer_codec() {
  return "isal-" KILN_TEXT(ISAL_MAJOR_VERSION) "." KILN_TEXT(ISAL_MINOR_VERSION) "." KILN_TEXT(
      ISAL_PATCH_VERSION) "-l1-c1M";
}

// Chunks are numbered as they are cut. Workers compress them in any order; whoever completes the next number
// due writes the run of finished ones, so that the blob's hash and file see them in order.
struct LayerWriter::State {
  State(registry::Store& store, unsigned threads)
      : worker_count(threads ? threads : std::clamp(std::thread::hardware_concurrency(), 1u, 8u)),
        blob(store.begin_blob()) {
    blob.write(kHeader);
  }

  const size_t worker_count;
  registry::BlobWriter blob;
  Hasher diff_hasher;
  std::optional<Digest> diff_id;
  std::string filling;
  uint32_t crc = 0;
  uint64_t size = 0;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::pair<uint64_t, std::string>> waiting;
  std::map<uint64_t, std::string> compressed;
  uint64_t cut = 0, written = 0;
  bool writing = false, closed = false;
  std::exception_ptr failure;
  std::vector<std::jthread> workers;

  void cut_chunk() {
    std::unique_lock lock(mutex);
    // Bounded: a fast reader must not pile the whole layer up in memory.
    changed.wait(lock, [&] { return failure || waiting.size() + compressed.size() < 2 * worker_count + 2; });
    if (failure) std::rethrow_exception(failure);
    waiting.emplace_back(cut++, std::exchange(filling, {}));
    filling.reserve(kChunk);
    if (workers.size() < std::min<uint64_t>(worker_count, cut)) workers.emplace_back([this] { work(); });
    lock.unlock();
    changed.notify_all();
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return closed || !waiting.empty(); });
      if (waiting.empty()) return;
      auto [number, input] = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      std::string output;
      std::exception_ptr error;
      try {
        output = deflate_chunk(input);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error) failure = error;
      compressed.emplace(number, std::move(output));
      drain(lock);
      changed.notify_all();
    }
  }

  void drain(std::unique_lock<std::mutex>& lock) {
    if (writing) return;
    writing = true;
    while (!failure && !compressed.empty() && compressed.begin()->first == written) {
      const std::string output = std::move(compressed.begin()->second);
      lock.unlock();
      std::exception_ptr error;
      try {
        blob.write(output);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error) failure = error;
      compressed.erase(compressed.begin());
      ++written;
      changed.notify_all();
    }
    writing = false;
  }
};

LayerWriter::LayerWriter(registry::Store& store, unsigned threads)
    : state_(std::make_unique<State>(store, threads)) {}

LayerWriter::~LayerWriter() {
  std::unique_lock lock(state_->mutex);
  state_->closed = true;
  state_->waiting.clear();
  lock.unlock();
  state_->changed.notify_all();
  state_->workers.clear();  // joins
}

void LayerWriter::write(std::string_view bytes) {
  State& s = *state_;
  s.diff_hasher.update(bytes);
  s.crc = crc32_gzip_refl(s.crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  s.size += bytes.size();
  while (!bytes.empty()) {
    const size_t take = std::min(kChunk - s.filling.size(), bytes.size());
    s.filling.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    if (s.filling.size() == kChunk) s.cut_chunk();
  }
}

const Digest& LayerWriter::diff_id() {
  if (!state_->diff_id) state_->diff_id = state_->diff_hasher.finish();
  return *state_->diff_id;
}

Layer LayerWriter::finish() {
  State& s = *state_;
  if (!s.filling.empty()) s.cut_chunk();
  {
    std::unique_lock lock(s.mutex);
    s.changed.wait(lock, [&] { return s.failure || s.written == s.cut; });
    if (s.failure) std::rethrow_exception(s.failure);
  }
  s.blob.write(kLastBlock);
  s.blob.write(little_endian(s.crc));
  s.blob.write(little_endian(static_cast<uint32_t>(s.size)));
  const uint64_t blob_size = s.blob.size();
  const Digest digest = s.blob.commit();
  return {{std::string(registry::media::kLayerGzip), digest, blob_size, {}, {}, {}, {}}, diff_id(), s.size};
}

LayerCache::LayerCache(registry::Store& store, fs::path folder) : store_(store), folder_(std::move(folder)) {
  make_dirs(folder_, 0700);
}

fs::path LayerCache::file_of(std::string_view key) const {
  return folder_ / std::string(sha256(std::string(layer_codec()) + "\n" + std::string(key)).encoded());
}

std::optional<Layer> LayerCache::find(const Digest& diff_id) const {
  return find("diff " + diff_id.text());
}
void LayerCache::remember(const Layer& layer) {
  remember("diff " + layer.diff_id.text(), layer);
}

std::optional<Layer> LayerCache::find(std::string_view key) const {
  try {
    const auto json = nlohmann::json::parse(read_file(file_of(key), 64 << 10));
    Layer layer{registry::parse_descriptor(json.at("descriptor")),
                Digest::of_text(json.at("diffID").get<std::string>()), json.at("size").get<uint64_t>()};
    if (store_.keep(layer.descriptor.digest)) return layer;
  } catch (const Error&) {  // absent or damaged: both only mean that the work is done again
  } catch (const nlohmann::json::exception&) {
  }
  return std::nullopt;
}

void LayerCache::remember(std::string_view key, const Layer& layer) {
  const nlohmann::json json = {{"descriptor", registry::to_json(layer.descriptor)},
                               {"diffID", layer.diff_id.text()},
                               {"size", layer.uncompressed_size}};
  // Not synced: a torn entry reads as absent.
  write_file(file_of(key), json.dump());
}

Layer store_layer(registry::Store& store, LayerCache& cache, std::string_view key,
                  const std::function<void(TarWriter&)>& fill, bool& reused) {
  reused = true;
  if (!key.empty())
    if (auto known = cache.find(key)) return *known;
  LayerWriter writer(store);
  TarWriter tar([&](std::string_view bytes) { writer.write(bytes); });
  fill(tar);
  tar.finish();
  auto layer = cache.find(writer.diff_id());
  if (!layer) {
    reused = false;
    layer = writer.finish();
    cache.remember(*layer);
  }
  if (!key.empty()) cache.remember(key, *layer);
  return *layer;
}

}  // namespace kiln::builders
