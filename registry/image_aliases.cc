#include "registry/image_aliases.h"

#include "base/error.h"

namespace kiln::registry {
namespace {

std::string name_of(const Reference& reference) {
  return reference.is_local() ? reference.repository : reference.host + "/" + reference.repository;
}

// The whole name again, for a reference whose tag may have been left out.
bool names_tag(std::string_view written) {
  const size_t slash = written.rfind('/');
  return written.find(':', slash == std::string_view::npos ? 0 : slash) != std::string_view::npos;
}

// "host/path/" as names of images begin; a name is put behind it to have its host read as in any other name.
std::string prefix_of(std::string_view written) {
  const std::string whole = name_of(Reference::parse(std::string(written) + "x"));
  return whole.substr(0, whole.size() - 1);
}

}  // namespace

void ImageAliases::add(std::string_view name, std::string_view target) {
  if (name.ends_with('/') != target.ends_with('/'))
    throw Error(ErrorKind::Invalid,
                "the image alias \"" + std::string(name) + "\" = \"" + std::string(target) +
                    "\" leads from an image to many, or from many to one",
                "end both with a slash, or neither");
  if (name.ends_with('/')) {
    prefix_of(target);  // throws for what could never be asked for
    prefixes_[prefix_of(name)] = target;
    return;
  }
  Reference::parse(target);
  const Reference reference = Reference::parse(name);
  exact_[names_tag(name) || reference.digest ? reference.text() : name_of(reference)] = target;
}

Reference ImageAliases::resolve(const Reference& reference) const {
  const std::string name = name_of(reference), text = reference.text();
  for (const std::string& key : {text, name})
    if (const auto found = exact_.find(key); found != exact_.end()) return Reference::parse(found->second);
  for (size_t slash = name.rfind('/'); slash != std::string::npos && slash > 0;
       slash = name.rfind('/', slash - 1)) {
    const auto found = prefixes_.find(name.substr(0, slash + 1));
    if (found != prefixes_.end()) return Reference::parse(found->second + text.substr(slash + 1));
  }
  return reference;
}

}  // namespace kiln::registry
