#include "dag/image_name.h"

#include <gtest/gtest.h>
#include <random>

#include "registry/reference.h"

namespace kiln::cli {
namespace {

// dag/ may not include registry/, and has to refuse what that could not pull, nothing else.
TEST(ImageName, IsRefusedWhereTheRegistryCouldNotReadIt) {
  const std::string hex(64, 'a');
  std::vector<std::string> names{"alpine",
                                 "Ubuntu::x",
                                 "kiln/build",
                                 "a b",
                                 "Ubuntu",
                                 "Host/x",
                                 "localhost/x:1",
                                 "[::1]:5000/x",
                                 "h:99999999/x",
                                 "a/b@sha256:short",
                                 "a@sha256:" + hex,
                                 "a:t@sha256:" + hex,
                                 "docker://a",
                                 "docker://",
                                 "",
                                 "a__b/c---d",
                                 "a___b",
                                 "-a/b",
                                 std::string(256, 'a'),
                                 "a:" + std::string(129, 't'),
                                 "h.x/" + std::string(256, 'a'),
                                 std::string(1025, 'a'),
                                 "[x]/a",
                                 "[]/a",
                                 "h:/a",
                                 "h./a",
                                 "/a",
                                 "a/",
                                 "a//b"};
  std::mt19937 random(7);
  constexpr std::string_view kPieces = "ab0A_-./:@[] ";
  for (int i = 0; i < 200'000; ++i) {
    std::string name;
    for (size_t length = random() % 9; name.size() <= length;) name += kPieces[random() % kPieces.size()];
    names.push_back(std::move(name));
  }
  for (const std::string& name : names)
    EXPECT_EQ(dag::image_name_problem(name).empty(), registry::Reference::try_parse(name).has_value())
        << '"' << name << "\": " << dag::image_name_problem(name);
}

}  // namespace
}  // namespace kiln::cli
