#include "registry/layers/decompress.h"

#include <cstring>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "base/error.h"

namespace kiln::registry {
namespace {

constexpr size_t kPiece = 256u << 10;

[[noreturn]] void corrupt(const char* codec, std::string why) {
  throw Error(ErrorKind::Invalid, std::string("a ") + codec + " layer is corrupt: " + std::move(why),
              "pull or build the image again");
}

}  // namespace

struct Decompressor::Codec {
  virtual ~Codec() = default;
  virtual void write(std::string_view bytes) = 0;
  virtual void finish() = 0;
};

struct Decompressor::Plain final : Codec {
  explicit Plain(std::function<void(std::string_view)>& out) : sink(out) {}
  void write(std::string_view bytes) override {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPiece))) sink(bytes.substr(0, kPiece));
  }
  void finish() override {}
  std::function<void(std::string_view)>& sink;
};

struct Decompressor::Gzip final : Codec {
  explicit Gzip(std::function<void(std::string_view)>& out) : sink(out), buffer(kPiece, '\0') {
    isal_inflate_init(&state);
    state.crc_flag = ISAL_GZIP;
  }

  void write(std::string_view bytes) override {
    state.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
    state.avail_in = static_cast<uint32_t>(bytes.size());
    for (;;) {
      if (between_members) {
        // Zero bytes after the last member are padding (gzip(1) ignores them); anything else is a new member.
        while (state.avail_in > 0 && *state.next_in == 0) {
          ++state.next_in;
          --state.avail_in;
          padded = true;
        }
        if (state.avail_in == 0) return;
        if (padded) corrupt("gzip", "bytes follow its end");
        isal_inflate_reset(&state);
        state.crc_flag = ISAL_GZIP;
        between_members = false;
      }
      state.next_out = reinterpret_cast<uint8_t*>(buffer.data());
      state.avail_out = static_cast<uint32_t>(buffer.size());
      const int result = isal_inflate(&state);
      if (result < 0) corrupt("gzip", "code " + std::to_string(result));
      const size_t made = buffer.size() - state.avail_out;
      if (made > 0) sink({buffer.data(), made});
      if (state.block_state == ISAL_BLOCK_FINISH)
        between_members = true;
      else if (state.avail_in == 0 && made < buffer.size())
        return;
    }
  }
  void finish() override {
    if (!between_members) corrupt("gzip", "it ends too early");
  }

  std::function<void(std::string_view)>& sink;
  std::string buffer;
  inflate_state state;
  bool between_members = false, padded = false;
};

struct Decompressor::Zstd final : Codec {
  explicit Zstd(std::function<void(std::string_view)>& out)
      : sink(out), buffer(kPiece, '\0'), context(ZSTD_createDCtx()) {
    // 128 MiB of window is what `zstd --ultra -22` uses; more would be a memory bomb.
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 27);
  }
  ~Zstd() override { ZSTD_freeDCtx(context); }

  void write(std::string_view bytes) override {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (;;) {
      ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
      const size_t result = ZSTD_decompressStream(context, &out, &in);
      if (ZSTD_isError(result)) corrupt("zstd", ZSTD_getErrorName(result));
      if (out.pos > 0) sink({buffer.data(), out.pos});
      at_frame_end = result == 0;
      if (in.pos == in.size && out.pos < out.size) return;
    }
  }
  void finish() override {
    if (!at_frame_end) corrupt("zstd", "it ends too early");
  }

  std::function<void(std::string_view)>& sink;
  std::string buffer;
  ZSTD_DCtx* context;
  bool at_frame_end = false;
};

Decompressor::Decompressor(std::function<void(std::string_view)> sink) : sink_(std::move(sink)) {}
Decompressor::~Decompressor() = default;

void Decompressor::start() {
  if (head_.starts_with("\x1f\x8b"))
    codec_ = std::make_unique<Gzip>(sink_);
  else if (head_.starts_with("\x28\xb5\x2f\xfd"))
    codec_ = std::make_unique<Zstd>(sink_);
  else
    codec_ = std::make_unique<Plain>(sink_);
  codec_->write(head_);
}

void Decompressor::write(std::string_view bytes) {
  if (!codec_) {
    const size_t missing = std::min<size_t>(4 - head_.size(), bytes.size());
    head_ += bytes.substr(0, missing);
    bytes.remove_prefix(missing);
    if (head_.size() < 4) return;
    start();
  }
  if (!bytes.empty()) codec_->write(bytes);
}

void Decompressor::finish() {
  if (!codec_) start();
  codec_->finish();
}

}  // namespace kiln::registry
