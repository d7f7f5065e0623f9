#pragma once

#include "registry/client/hosts.h"
#include "registry/copy/image_place.h"

// Inside of registry/client.cc: an image in a registry, as a place to copy from and to.
namespace kiln::registry::detail {

class RegistrySource : public ImageSource {
 public:
  RegistrySource(Hosts& hosts, Reference reference, std::vector<std::string> credentials = {},
                 std::string via = {})
      : hosts_(hosts),
        reference_(std::move(reference)),
        credentials_(std::move(credentials)),
        via_(std::move(via)) {}

  // The first asks the places one after the other; all that follows is asked of the one that had it.
  FetchedManifest manifest(const std::optional<Descriptor>& which, std::stop_token stop) override;
  std::optional<FilePart> file(const Descriptor&) override { return std::nullopt; }
  void read_blob(const Descriptor& blob, BlobSink& sink, const std::function<void(uint64_t)>& progress,
                 std::stop_token stop) override;
  // A small blob by itself.
  std::string blob(const Descriptor& blob, std::stop_token stop);
  // A blob of the repository, by itself (HEAD); nullopt when no place has it. read_blob() then asks that one.
  std::optional<Descriptor> find_blob(const Digest& digest, std::stop_token stop);
  // What its tag or digest points to now (HEAD); nullopt when no place has it.
  std::optional<Descriptor> resolve(std::stop_token stop);

 private:
  // Calls `ask` with each place in turn until one has an answer, whose session it keeps. An answer that is no
  // image there, or an error, goes to the next; the last error is thrown, with those of the mirrors.
  template <class Ask>
  auto ask_places(const Ask& ask);
  Session& session(const std::stop_token& stop);

  Hosts& hosts_;
  const Reference reference_;
  const std::vector<std::string> credentials_;
  const std::string via_;
  std::unique_ptr<Session> session_;
};

class RegistryTarget : public ImageTarget {
 public:
  RegistryTarget(Hosts& hosts, Reference reference, std::string mount_from);

  Put put_blob(const Descriptor& blob, ImageSource& source, const std::function<void(uint64_t)>& progress,
               std::stop_token stop) override;
  void put_manifest(const FetchedManifest& manifest, bool top, std::stop_token stop) override;

 private:
  Hosts& hosts_;
  const RegistryPlace place_;
  const std::string mount_from_;
  std::unique_ptr<Session> session_;
};

}  // namespace kiln::registry::detail
