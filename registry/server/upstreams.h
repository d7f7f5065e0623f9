#pragma once

#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "registry/client.h"
#include "registry/server/policy_settings.h"
#include "registry/store/repository_blobs.h"

namespace kiln::registry {

// Pull-through: manifests and blobs of repositories that are another registry's, brought into the store when
// somebody asks for them. A tag is asked again when what is known of it is older than the rule's `tag_age`;
// an upstream that does not answer is no error as long as there is an older answer. Whoever asks for what is
// under way waits for that. Their entries in the index are marked RepositoryBlobs::kSparse: blobs come when
// they are asked for. Thread-safe.
//
// Errors: NotFound where the upstream denies it (many do when there is no such name), Unavailable where it
// does not answer, or not as a registry should; Cancelled becomes Unavailable, too.
class Upstreams {
 public:
  struct Options {
    std::vector<UpstreamRule> rules;
    // With users: a blob that another repository has is shown only when the upstream, too, has sent it.
    bool guarded = false;
    const Clock* clock = &system_clock();
    std::stop_token stop{};  // ends transfers under way
  };
  // Store, client and clock must outlive this.
  Upstreams(Store& store, Client& client, Options options);

  // The rule that means the repository: the longest prefix.
  const UpstreamRule* rule_of(std::string_view repository) const;
  // Brings what `reference` (tag or digest) names; nothing where no rule means the repository, or the
  // upstream has no such thing.
  void manifest(std::string_view repository, std::string_view reference);
  // Brings a blob that a manifest of the repository needs.
  void blob(std::string_view repository, const Digest& digest);

 private:
  bool is_known(const std::string& repository, const std::string& reference, const UpstreamRule& rule) const;
  void fetch_manifest(const std::string& repository, const std::string& reference, const UpstreamRule& rule);
  void fetch_blob(const std::string& repository, const Digest& digest, const UpstreamRule& rule);
  bool is_here(const std::string& repository, const Digest& blob);
  void keep(const std::string& repository, const std::string& tag, const FetchedManifest& manifest);
  // Runs `work`, or waits for whoever runs it under this name already and has what comes of it.
  void once(const std::string& name, const std::function<void()>& work);

  Store& store_;
  Client& client_;
  const Options options_;
  RepositoryBlobs blobs_;
  std::mutex mutex_;
  std::map<std::string, std::shared_future<void>> under_way_;
};

}  // namespace kiln::registry
