#pragma once

#include <errno.h>

// System calls without a C library around them.
namespace kiln::steps::helper {

// Where a child runs that shares our memory (libc.cc: it has an errno of its own).
inline constexpr unsigned long kChildStack = 64 << 10;
alignas(16) inline char child_stack[kChildStack];

// The kernel's answer: -errno when it refuses.
inline long raw_call(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#else
#error "no system calls for this architecture"
#endif
}

// -1 with errno, as the C library has it.
inline long checked(long result) {
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}

inline long word(long value) {
  return value;
}
inline long word(const void* pointer) {
  return reinterpret_cast<long>(pointer);
}

template <class... Arguments>
long call(long number, Arguments... arguments) {
  const long all[6] = {word(arguments)...};
  return checked(raw_call(number, all[0], all[1], all[2], all[3], all[4], all[5]));
}

}  // namespace kiln::steps::helper
