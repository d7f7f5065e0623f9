// What images are made of and taken apart with, beside the bare libraries:
//
//   image_bench unpack STORE NAME RUNS     all layers of an image, into STORE/snapshots
//   image_bench sha256 MEGABYTES RUNS      Hasher; then OpenSSL's SHA-256 of the same bytes in one call
//   image_bench gzip TAR RUNS              a layer blob in a store: two digests, compression, file; then
//   ISA-L
//                                          alone, one thread, same level
//
// Prints medians in milliseconds, Kiln's first. Not a test.
#include <cstdio>
#include <cstdlib>
#include <isa-l/igzip_lib.h>
#include <openssl/sha.h>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/fs.h"
#include "builders/layer_writer.h"
#include "registry/store/snapshots.h"
#include "registry/store/store.h"
#include "tests/bench/timing.h"

namespace {

using namespace kiln;
using bench::median;
using bench::milliseconds;

constexpr size_t kPiece = 256u << 10;

template <class Take>
void in_pieces(std::string_view bytes, const Take& take) {
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPiece))) take(bytes.substr(0, kPiece));
}

void unpack(const char* folder, const char* name, int runs) {
  const registry::Store store(folder);
  const auto found = store.resolve(name);
  if (!found) throw Error(ErrorKind::NotFound, std::string("there is no image ") + name);
  const registry::Image image = store.load(*found);
  std::vector<double> ours;
  for (int i = 0; i < runs; ++i) {
    remove_tree(store.root() / "snapshots");
    ours.push_back(milliseconds([&] { registry::Snapshots(store).prepare(image); }));
  }
  std::printf("%.3f\n", median(ours));
}

void hash(size_t megabytes, int runs) {
  const std::string bytes(megabytes << 20, 'k');
  std::vector<double> ours, theirs;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  for (int i = 0; i < runs; ++i) {
    ours.push_back(milliseconds([&] {
      Hasher hasher;
      in_pieces(bytes, [&](std::string_view piece) { hasher.update(piece); });
      hasher.finish();
    }));
    theirs.push_back(milliseconds(
        [&] { ::SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest); }));
  }
  std::printf("%.3f %.3f\n", median(ours), median(theirs));
}

void isal(std::string_view tar, std::vector<uint8_t>& out) {
  std::vector<uint8_t> level_buffer(ISAL_DEF_LVL1_DEFAULT);
  isal_zstream stream;
  ::isal_deflate_init(&stream);
  stream.level = 1;
  stream.level_buf = level_buffer.data();
  stream.level_buf_size = static_cast<uint32_t>(level_buffer.size());
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(tar.data()));
  stream.avail_in = static_cast<uint32_t>(tar.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uint32_t>(out.size());
  if (::isal_deflate(&stream) != COMP_OK) throw Error(ErrorKind::Infrastructure, "ISA-L failed");
}

void gzip(const char* file, int runs) {
  const std::string tar = read_file(file, 2ull << 30);
  std::vector<uint8_t> out(tar.size() + tar.size() / 8 + 4096);
  std::vector<double> ours, theirs;
  for (int i = 0; i < runs; ++i) {
    const TempDir folder;
    registry::Store store(folder.path());
    ours.push_back(milliseconds([&] {
      builders::LayerWriter writer(store);
      in_pieces(tar, [&](std::string_view piece) { writer.write(piece); });
      writer.finish();
    }));
    theirs.push_back(milliseconds([&] { isal(tar, out); }));
  }
  std::printf("%.3f %.3f\n", median(ours), median(theirs));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  try {
    if (mode == "unpack" && argc == 5)
      unpack(argv[2], argv[3], std::atoi(argv[4]));
    else if (mode == "sha256" && argc == 4)
      hash(static_cast<size_t>(std::atoi(argv[2])), std::atoi(argv[3]));
    else if (mode == "gzip" && argc == 4)
      gzip(argv[2], std::atoi(argv[3]));
    else
      return std::fprintf(stderr, "usage: image_bench unpack|sha256|gzip ARGUMENT... RUNS\n"), 2;
  } catch (const Error& error) {
    return std::fprintf(stderr, "image_bench: %s\n", error.full().c_str()), 1;
  }
  return 0;
}
