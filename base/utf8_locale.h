#pragma once

#include <locale.h>

namespace kiln {

// Gives the calling thread a UTF-8 locale while it lives, whatever the machine's is: libarchive converts names
// through the locale, and refuses those of other languages in "C".
class Utf8Locale {
 public:
  Utf8Locale() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), before_(::uselocale(locale_)) {}
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;
  ~Utf8Locale() {
    ::uselocale(before_);
    if (locale_) ::freelocale(locale_);
  }

 private:
  locale_t locale_, before_;
};

}  // namespace kiln
