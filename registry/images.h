#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "registry/image.h"
#include "registry/image_aliases.h"

namespace kiln::registry {

class Store;
class Client;

enum class PullPolicy { IfNotPresent, Always, Never };  // as imagePullPolicy

// How an image is asked for.
struct ImageRequest {
  using Moment = std::chrono::steady_clock::time_point;

  PullPolicy policy = PullPolicy::IfNotPresent;
  // Always: what the registry answered to this process since then will do.
  Moment answered_since = Moment::max();
  // Docker's config.json as texts, each asked for credentials before the files that the user has.
  std::vector<std::string> credentials = {};
};

struct WantedImage {
  std::string name;
  ImageRequest request;
};

// Gets an image by the name a user wrote: from the store when it is there, else pulled into it; whoever wants
// one that is being pulled already waits for that. "kiln/build" means "kiln/build:latest" of the store.
// Thread-safe.
class Images {
 public:
  Images(Store& store, Client& client, ImageAliases aliases = {})
      : store_(store), client_(client), aliases_(std::move(aliases)) {}

  // What an alias leads to, is got in its place. Throws NotFound with where it was looked for and what to do
  // (`kiln stack create` for kiln/… names), Unavailable when the registry did not answer.
  Image get(std::string_view name, const ImageRequest& request, std::stop_token stop = {}) const;
  Image get(std::string_view name, PullPolicy policy = PullPolicy::IfNotPresent,
            std::stop_token stop = {}) const {
    return get(name, ImageRequest{.policy = policy}, std::move(stop));
  }
  // Gets all of them, several at a time; returns when they are there, or on `stop`. One that cannot be had is
  // passed over: whoever needs it will be told.
  void prefetch(std::span<const WantedImage> wanted, std::stop_token stop) const;
  Store& store() const { return store_; }

 private:
  struct Pull;  // under way

  Image get(const Reference& reference, const ImageRequest& request, std::stop_token stop) const;
  bool is_answered(const std::string& key, const ImageRequest& request) const;
  Image join_pull(const Reference& reference, const std::string& key, const ImageRequest& request,
                  std::stop_token stop) const;
  Image pull(const Reference& reference, const ImageRequest& request, std::stop_token stop) const;
  void end_pull(const std::string& key, std::shared_ptr<Pull> pull, ImageRequest::Moment begun) const;

  Store& store_;
  Client& client_;
  ImageAliases aliases_;
  mutable std::mutex mutex_;  // guards what follows
  mutable std::condition_variable_any ended_;
  mutable std::map<std::string, std::shared_ptr<Pull>> pulls_;
  mutable std::map<std::string, ImageRequest::Moment> answered_;  // when it was last asked for with success
};

}  // namespace kiln::registry
