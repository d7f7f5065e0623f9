#pragma once

#include <locale.h>

namespace kiln {

// Gives the calling thread a UTF-8 locale while it lives, whatever the machine's is: libarchive converts
// names through the locale, and refuses those of other languages in "C".
class Utf8Locale {
 public:
  Utf8Locale() : before_(::uselocale(shared())) {}
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;
  ~Utf8Locale() { ::uselocale(before_); }

 private:
  // One for the whole process, never freed: locales are shared between threads only by glibc's own locks.
  static locale_t shared() {
    static const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    return utf8;
  }
  locale_t before_;
};

}  // namespace kiln
