// Masking in pieces against a search at every place: the first line holds the secrets (separated by spaces),
// then a byte for where to cut, then the text.
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/http.h"
#include "base/secret_mask.h"
#include "base/text.h"

using namespace kiln;

namespace {

// Only for values that are their own patterns: short, one line.
std::string naive(const std::vector<std::string>& secrets, const std::string& text) {
  std::vector<bool> hidden(text.size());
  for (std::string secret : secrets) {
    std::vector<std::string> forms{secret};
    for (size_t before = 0; before < 3; ++before) {
      const std::string encoded = base64_encode(std::string(before, '\0') + secret);
      const size_t begin = (before * 8 + 5) / 6, end = (before + secret.size()) * 8 / 6;
      forms.push_back(encoded.substr(begin, end - begin));
      forms.push_back(replace_all(replace_all(forms.back(), "+", "-"), "/", "_"));
    }
    const std::string in_url = percent_encode(secret);
    std::string small = in_url;
    for (size_t at = small.find('%'); at != std::string::npos; at = small.find('%', at + 3))
      for (size_t i = at + 1; i < at + 3; ++i) small[i] = static_cast<char>(std::tolower(small[i]));
    for (const std::string& text :
         {in_url, small, replace_all(in_url, "%20", "+"), replace_all(small, "%20", "+")})
      for (size_t at = 0; at < text.size(); at += SecretMask::kLongest)  // in pieces, the last one full too
        forms.push_back(text.substr(
            at + SecretMask::kLongest <= text.size() || at == 0 ? at : text.size() - SecretMask::kLongest,
            SecretMask::kLongest));
    for (const std::string& form : forms)
      for (size_t at = text.find(form); at != std::string::npos; at = text.find(form, at + 1))
        for (size_t i = 0; i < form.size(); ++i) hidden[at + i] = true;
  }
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!hidden[i])
      out += text[i];
    else if (i == 0 || !hidden[i - 1])
      out += "***";
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\n');
  if (end == std::string::npos || size > 4096) return 0;
  std::vector<std::string> secrets;
  for (const std::string& word : split(input.substr(0, end), ' '))
    if (word.size() >= SecretMask::kShortest && word.size() <= 40 && !word.ends_with('\r') &&
        secrets.size() < 8)
      secrets.push_back(word);
  const SecretMask mask(secrets);
  const std::string text = input.substr(std::min(size, end + 2));
  const size_t step = 1 + (end + 1 < size ? data[end + 1] % 80 : 0);
  std::string out;
  const auto append = [&](std::string_view part) { out += part; };
  SecretStream stream(mask);
  for (size_t at = 0; at < text.size(); at += step)
    stream.feed(std::string_view(text).substr(at, step), append);
  stream.finish(append);
  if (out != naive(secrets, text)) std::abort();
  return 0;
}
