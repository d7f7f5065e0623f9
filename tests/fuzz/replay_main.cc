// Runs a fuzz target once over every file of the folders given: the committed seeds as a regression test.
#include <cstdint>
#include <cstdio>
#include <filesystem>

#include "base/fs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  size_t replayed = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      const std::string seed = kiln::read_file(entry.path());
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(seed.data()), seed.size());
      ++replayed;
    }
  }
  std::printf("replayed %zu seeds\n", replayed);
  return replayed > 0 ? 0 : 1;  // a target without seeds tests nothing
}
