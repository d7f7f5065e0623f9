// Text and memory, as libc.cc has system calls: what the sandbox program uses of the C library. Formats are
// those that are used here.
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

extern "C" {

void* memcpy(void* __restrict to, const void* __restrict from, size_t size) noexcept {
  for (size_t i = 0; i < size; ++i) static_cast<char*>(to)[i] = static_cast<const char*>(from)[i];
  return to;
}
void* memset(void* to, int value, size_t size) noexcept {
  for (size_t i = 0; i < size; ++i) static_cast<char*>(to)[i] = static_cast<char>(value);
  return to;
}
size_t strlen(const char* text) noexcept {
  size_t length = 0;
  while (text[length]) ++length;
  return length;
}
int strncmp(const char* a, const char* b, size_t most) noexcept {
  for (size_t i = 0; i < most; ++i)
    if (a[i] != b[i] || !a[i]) return static_cast<unsigned char>(a[i]) - static_cast<unsigned char>(b[i]);
  return 0;
}
int strcmp(const char* a, const char* b) noexcept {
  return strncmp(a, b, SIZE_MAX);
}
char* strcpy(char* __restrict to, const char* __restrict from) noexcept {
  memcpy(to, from, strlen(from) + 1);
  return to;
}
char* strcat(char* __restrict to, const char* __restrict from) noexcept {
  strcpy(to + strlen(to), from);
  return to;
}
const char* find_first(const char* text, int c) noexcept __asm__("strchr");
const char* find_first(const char* text, int c) noexcept {
  for (;; ++text) {
    if (*text == static_cast<char>(c)) return text;
    if (!*text) return nullptr;
  }
}
const char* find_last(const char* text, int c) noexcept __asm__("strrchr");
const char* find_last(const char* text, int c) noexcept {
  const char* last = nullptr;
  for (;; ++text) {
    if (*text == static_cast<char>(c)) last = text;
    if (!*text) return last;
  }
}
size_t strcspn(const char* text, const char* stops) noexcept {
  size_t length = 0;
  for (; text[length]; ++length)
    for (const char* stop = stops; *stop; ++stop)
      if (text[length] == *stop) return length;
  return length;
}

// %s, %d, %llu and %o.
int snprintf(char* __restrict to, size_t size, const char* __restrict format, ...) noexcept {
  size_t length = 0;
  const auto put = [&](char c) {
    if (length + 1 < size) to[length] = c;
    ++length;
  };
  const auto put_number = [&](unsigned long long number, unsigned base) {
    char digits[24];
    int count = 0;
    do digits[count++] = static_cast<char>('0' + number % base);
    while (number /= base);
    while (count > 0) put(digits[--count]);
  };
  va_list arguments;
  va_start(arguments, format);
  for (; *format; ++format) {
    if (*format != '%') {
      put(*format);
      continue;
    }
    switch (*++format) {
      case 's':
        for (const char* text = va_arg(arguments, const char*); *text; ++text) put(*text);
        break;
      case 'd': {
        const int number = va_arg(arguments, int);
        if (number < 0) put('-');
        put_number(number < 0 ? 0ull - static_cast<unsigned long long>(number)
                              : static_cast<unsigned long long>(number),
                   10);
        break;
      }
      case 'o':
        put_number(va_arg(arguments, unsigned), 8);
        break;
      case 'l':
        format += 2;
        put_number(va_arg(arguments, unsigned long long), 10);
        break;
    }
  }
  va_end(arguments);
  if (size > 0) to[length < size ? length : size - 1] = 0;
  return static_cast<int>(length);
}

// Never given back: the program lives as long as its sandbox and asks for little.
void* malloc(size_t size) noexcept {
  alignas(16) static char arena[256 << 10];
  static size_t used = 0;
  size = (size + 15) & ~size_t{15};
  if (size <= sizeof arena - used) {
    used += size;
    return arena + used - size;
  }
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}
void free(void*) noexcept {}

}  // extern "C"
