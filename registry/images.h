#pragma once

#include <stop_token>
#include <string_view>

#include "registry/image.h"
#include "registry/image_aliases.h"

namespace kiln::registry {

class Store;
class Client;

enum class PullPolicy { IfNotPresent, Always, Never };  // as imagePullPolicy

// Gets an image by the name a user wrote: from the store when it is there, else pulled into it.
// "kiln/build" means "kiln/build:latest" of the store. Thread-safe.
class Images {
 public:
  Images(Store& store, Client& client, ImageAliases aliases = {})
      : store_(store), client_(client), aliases_(std::move(aliases)) {}

  // What an alias leads to, is got in its place. Throws NotFound with where it was looked for and what to do
  // (`kiln stack create` for kiln/… names), Unavailable when the registry did not answer.
  Image get(std::string_view reference, PullPolicy policy = PullPolicy::IfNotPresent,
            std::stop_token stop = {}) const;
  Store& store() const { return store_; }

 private:
  Image get(const Reference& reference, PullPolicy policy, std::stop_token stop) const;

  Store& store_;
  Client& client_;
  ImageAliases aliases_;
};

}  // namespace kiln::registry
