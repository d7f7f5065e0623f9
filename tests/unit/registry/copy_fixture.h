#pragma once

#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "registry/copy/copy.h"
#include "registry/copy/store_place.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {

// A store with an image, places to copy it to, and a registry.
class Copy : public testing::Test {
 protected:
  using Kind = TransferEvent::Kind;

  static std::string some_tar(const std::string& salt) {
    return TarBuilder().file("f", salt + std::string(100'000, 'x')).finish();
  }

  std::string at(const std::string& transport, const std::string& rest = {}) const {
    return transport + (dir_.path() / "place").string() + rest;
  }
  std::string in_registry(const std::string& name) const { return "docker://" + remote_.host() + "/" + name; }
  Image image(const std::string& salt, const std::string& name = "app:v1") {
    Image out = make_image(store_, {some_tar(salt), some_tar(salt + "2"), some_tar(salt)}, salt);
    store_.tag(name, out.descriptor);
    return out;
  }
  // An index of this machine's platform and of others.
  Descriptor index(const std::string& name = "multi:v1") {
    nlohmann::json document{
        {"schemaVersion", 2}, {"mediaType", media::kIndex}, {"manifests", nlohmann::json::array()}};
    for (const char* platform : {"", "s390x", "arm/v6", "arm/v7"}) {
      Descriptor entry = make_image(store_, {some_tar(platform)}, platform).descriptor;
      const std::string text = *platform ? "linux/" + std::string(platform) : Platform::of_machine().text();
      const Platform parsed = Platform::parse(text);
      entry.os = parsed.os;
      entry.architecture = parsed.architecture;
      entry.variant = parsed.variant;
      document["manifests"].push_back(to_json(entry));
      images_[text] = entry.digest;
    }
    const Descriptor out = store_.put(document.dump(), media::kIndex);
    store_.tag(name, out);
    return out;
  }
  Descriptor copy(const std::string& from, const std::string& to, CopyOptions options = {}) {
    events_.clear();
    options.transfer.observer = [&](const TransferEvent& event) {
      if (event.kind != Kind::Waiting && event.kind != Kind::Progress && !is_manifest(event.media_type) &&
          !is_index(event.media_type))
        events_.push_back(event.kind);
    };
    const auto source = open_source(ImagePlace::parse(from), client_, store_);
    const auto target = open_target(ImagePlace::parse(to), client_, store_);
    return copy_image(*source, *target, options);
  }
  Error error_of(const std::string& from, const std::string& to, const CopyOptions& options = {}) {
    try {
      copy(from, to, options);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << from << " was copied to " << to;
    return Error(ErrorKind::Failed, "nothing was thrown");
  }
  // Into a fresh store, so that every blob is read and checked.
  Image read_back(const std::string& from, const CopyOptions& options = {}) {
    const TempDir dir;
    Store store(dir.path());
    const auto source = open_source(ImagePlace::parse(from), client_, store_);
    StoreTarget target(store);
    return store.load(copy_image(*source, target, options));
  }
  std::vector<std::string> files() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(dir_.path())) out.push_back(entry.path().filename());
    return out;
  }

  TempDir dir_, store_dir_;
  TestRegistry remote_;
  Store store_{store_dir_.path()};
  Client client_{impatient()};
  std::vector<Kind> events_;
  std::map<std::string, Digest> images_;
};

}  // namespace kiln::registry
