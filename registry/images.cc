#include "registry/images.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/digest.h"
#include "base/error.h"
#include "registry/client.h"
#include "registry/reference.h"
#include "registry/store/leases.h"
#include "registry/store/store.h"

namespace kiln::registry {
namespace {

// Under which names the store may know the image: as written, and in full.
std::optional<Descriptor> find_in_store(const Store& store, const Reference& reference) {
  if (reference.digest && store.has(*reference.digest)) {
    Descriptor descriptor{
        std::string(media::kManifest), *reference.digest, *store.size(*reference.digest), {}, {}, {}, {}};
    try {
      parse_manifest(store.read(*reference.digest));
    } catch (const Error&) {
      descriptor.media_type = media::kIndex;
    }
    return descriptor;
  }
  if (reference.digest) return std::nullopt;
  if (auto found = store.resolve(reference.familiar)) return found;
  return store.resolve(reference.text());
}

// All blobs there? An image whose pull was interrupted, or that lost a blob, is pulled again.
bool is_complete(const Store& store, const Image& image) {
  for (const Descriptor& layer : image.manifest.layers)
    if (!store.has(layer.digest)) return false;
  return true;
}

std::string way_to_make_anew(const Reference& reference) {
  if (reference.is_local()) return "make it again with `kiln stack create --update`, or build it again";
  return "get it again with `kiln image pull " + reference.familiar + "`, or build it again";
}

// What tells one pull from another: who asks with other credentials may be shown something else.
std::string key_of(const Reference& reference, const ImageRequest& request) {
  std::string key = reference.text();
  for (const std::string& document : request.credentials) key += " " + sha256(document).text();
  return key;
}

constexpr size_t kAtOnce = 4;  // images; each brings several layers at a time

}  // namespace

struct Images::Pull {
  bool ended = false;
  std::optional<Image> image;
  std::optional<Error> error;
};

Image Images::get(std::string_view name, const ImageRequest& request, std::stop_token stop) const {
  const Reference written = Reference::parse(name);
  const Reference reference = aliases_.resolve(written);
  if (reference == written) return get(reference, request, std::move(stop));
  try {
    return get(reference, request, std::move(stop));
  } catch (const Error& error) {
    throw Error(error.kind(), error.full() + "; " + written.familiar + " is an alias for it", error.hint());
  }
}

Image Images::get(const Reference& reference, const ImageRequest& request, std::stop_token stop) const {
  const std::string key = key_of(reference, request);
  if (request.policy != PullPolicy::Always || reference.is_local() || is_answered(key, request)) {
    if (const auto found = find_in_store(store_, reference)) {
      try {
        Image image = store_.load(*found);
        if (is_complete(store_, image)) return image;
      } catch (const Error& error) {
        // Missing, or damaged and put aside: the pull brings it anew.
        if (error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::Invalid) throw;
      }
      if (reference.is_local() || request.policy == PullPolicy::Never)
        throw Error(ErrorKind::Infrastructure,
                    "the image " + reference.text() + " is incomplete in the store " +
                        store_.root().string() + ": a part of it is missing or was damaged",
                    way_to_make_anew(reference));
    }
    if (reference.is_local())
      throw Error(ErrorKind::NotFound,
                  "the image " + reference.text() + " is not in the store " + store_.root().string(),
                  "make Kiln's base images with `kiln stack create`");
    if (request.policy == PullPolicy::Never)
      throw Error(ErrorKind::NotFound,
                  "the image " + reference.text() + " is not in the store " + store_.root().string() +
                      ", and its pull policy is Never",
                  "get it with `kiln image pull " + reference.familiar + "`");
  }
  return join_pull(reference, key, request, std::move(stop));
}

bool Images::is_answered(const std::string& key, const ImageRequest& request) const {
  const std::lock_guard lock(mutex_);
  const auto last = answered_.find(key);
  return last != answered_.end() && last->second >= request.answered_since;
}

// Whoever comes first pulls, on its own thread and for as long as it wants to; when it gives up, one of those
// that wait goes on, where the transfer stopped.
Image Images::join_pull(const Reference& reference, const std::string& key, const ImageRequest& request,
                        std::stop_token stop) const {
  const ImageRequest::Moment begun = std::chrono::steady_clock::now();
  for (;;) {
    std::unique_lock lock(mutex_);
    const auto [at, first] = pulls_.try_emplace(key);
    if (first) at->second = std::make_shared<Pull>();
    const std::shared_ptr<Pull> pull = at->second;
    if (!first) {
      if (!ended_.wait(lock, stop, [&] { return pull->ended; }))
        throw Error(ErrorKind::Cancelled, "getting " + reference.familiar + " was cancelled");
      if (pull->image) return *pull->image;
      if (pull->error->kind() != ErrorKind::Cancelled) throw *pull->error;
      continue;
    }
    lock.unlock();
    try {
      pull->image = this->pull(reference, request, stop);
    } catch (const Error& error) {
      pull->error = error;
    } catch (const std::exception& error) {
      pull->error = Error(ErrorKind::Infrastructure, error.what());
    }
    end_pull(key, pull, begun);
    if (pull->error) throw *pull->error;
    return *pull->image;
  }
}

void Images::end_pull(const std::string& key, std::shared_ptr<Pull> pull, ImageRequest::Moment begun) const {
  {
    const std::lock_guard lock(mutex_);
    pulls_.erase(key);
    if (pull->image) answered_[key] = begun;
    pull->ended = true;
  }
  ended_.notify_all();
}

Image Images::pull(const Reference& reference, const ImageRequest& request, std::stop_token stop) const {
  const Lease lease(store_, "pull", Lease::Spares::AllThatIsNew);  // until it has its name
  TransferOptions transfer;
  transfer.stop = std::move(stop);
  transfer.credentials = request.credentials;
  Image image = client_.pull(reference, store_, transfer);
  store_.tag(reference.familiar, image.descriptor);
  return image;
}

void Images::prefetch(std::span<const WantedImage> wanted, std::stop_token stop) const {
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < wanted.size() && !stop.stop_requested(); i = next++) {
      try {
        get(wanted[i].name, wanted[i].request, stop);
      } catch (const Error&) {  // said to whoever needs it
      } catch (const std::exception&) {
      }
    }
  };
  std::vector<std::jthread> others;
  for (size_t i = 1; i < std::min(wanted.size(), kAtOnce); ++i) others.emplace_back(work);
  work();
}

}  // namespace kiln::registry
