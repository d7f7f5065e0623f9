#pragma once

#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "registry/client.h"
#include "registry/policy_settings.h"

namespace kiln::registry {

// Pull-through: manifests and blobs of repositories that are another registry's, brought into the store when
// somebody asks for them. A tag is asked again when what is known of it is older than the rule's `tag_age`;
// an upstream that does not answer is no error as long as there is an older answer. Whoever asks for what is
// under way waits for that. Thread-safe.
class Upstreams {
 public:
  // All must outlive this.
  Upstreams(Store& store, Client& client, const PolicySettings& policies, const Clock& clock);
  ~Upstreams();  // ends transfers under way

  // Brings what `reference` (tag or digest) names; nothing where no rule means the repository, or the
  // upstream has no such thing. Throws what Client throws.
  void manifest(std::string_view repository, std::string_view reference);
  // Brings a blob that a manifest of the repository needs.
  void blob(std::string_view repository, const Digest& digest);

 private:
  bool is_known(const std::string& repository, const std::string& reference, const UpstreamRule& rule) const;
  void fetch_manifest(const std::string& repository, const std::string& reference, const UpstreamRule& rule);
  void fetch_blob(const std::string& repository, const Digest& digest, const UpstreamRule& rule);
  void keep(const std::string& repository, const std::string& tag, const FetchedManifest& manifest);
  // Runs `work`, or waits for whoever runs it under this name already and has what comes of it.
  void once(const std::string& name, const std::function<void()>& work);

  Store& store_;
  Client& client_;
  const PolicySettings& policies_;
  const Clock& clock_;
  std::stop_source stop_;
  std::mutex mutex_;
  std::map<std::string, std::shared_future<void>> under_way_;
};

}  // namespace kiln::registry
