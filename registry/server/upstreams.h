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
// they are asked for. What the upstream has not is not asked for again for some seconds. Thread-safe.
//
// Requests to an upstream say in the header Via (RFC 9110, 7.6.3) on whose behalf they are, so that
// registries that are each other's upstreams, or their own, notice it. What is here is answered all the same.
//
// Errors: NotFound where the upstream denies it (many do when there is no such name), Unavailable where it
// does not answer, or not as a registry should; Cancelled becomes Unavailable, too. RegistryHooks::Loop where
// the request has come from here.
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
  void manifest(std::string_view repository, std::string_view reference, std::string_view via = {});
  // Brings a blob of the repository, whether or not a manifest of it that is here needs it.
  void blob(std::string_view repository, const Digest& digest, std::string_view via = {});
  // Of a blob that is not here and that a manifest which is needs; nothing is asked for it.
  std::optional<uint64_t> blob_size(std::string_view repository, const Digest& digest);

 private:
  bool is_known(const std::string& repository, const std::string& reference, const UpstreamRule& rule) const;
  void fetch_manifest(const std::string& repository, const std::string& reference, const UpstreamRule& rule,
                      const std::string& via);
  void fetch_blob(const std::string& repository, const Digest& digest, const UpstreamRule& rule,
                  const std::string& via);
  // Where the upstream has it; nullopt where it has not.
  std::optional<Client::FoundBlob> look_for(const std::string& repository, const Digest& digest,
                                            const UpstreamRule& rule, const std::string& via);
  // What requests to an upstream have in their Via when ours had `via`. Throws Loop.
  std::string pass_on(std::string_view via, std::string_view repository, const UpstreamRule& rule) const;
  bool is_here(const std::string& repository, const Digest& blob);
  void keep(const std::string& repository, const std::string& tag, const FetchedManifest& manifest);
  // Runs `work`, or waits for whoever runs it under this name already and has what comes of it.
  void once(const std::string& name, const std::function<void()>& work);

  bool is_known_missing(const std::string& name);
  void note_missing(const std::string& name);

  Store& store_;
  Client& client_;
  const Options options_;
  const std::string name_;  // in Via
  RepositoryBlobs blobs_;
  std::mutex mutex_;
  std::map<std::string, std::shared_future<void>> under_way_;
  std::map<std::string, Time> missing_;  // what an upstream has not, and when it said so
};

}  // namespace kiln::registry
