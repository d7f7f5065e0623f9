#pragma once

#include <string_view>

namespace kiln {

// A place at which tests/e2e/crash_test.py lets this process die: KILN_FAILPOINT=NAME ends it there by
// SIGKILL, KILN_FAILPOINT=NAME:3 the third time it comes by. Nothing unless built with the CMake option
// KILN_FAILPOINTS. Any thread.
#ifdef KILN_FAILPOINTS
void failpoint(std::string_view name);
#else
inline void failpoint(std::string_view) {}
#endif

}  // namespace kiln
