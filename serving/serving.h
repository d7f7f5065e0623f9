#pragma once

#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/http_server.h"
#include "registry/images.h"
#include "serving/records.h"
#include "serving/revision.h"

namespace kiln::serving {

// The serving layer: turns Services into Revisions at work and decides which Revision a request goes to. A new
// revision takes traffic only once an instance of it has been ready; until then, and if it never is, the old
// one answers. Everything belongs to the server's one I/O thread; blocking work goes to its pool.
class Serving {
 public:
  struct Options {
    std::filesystem::path database;
    std::filesystem::path logs;      // <logs>/<namespace>/<revision>.log
    std::string domain = "localhost";
    std::string authority;           // "localhost:8080": how URLs in status name this server
  };
  Serving(Options options, const registry::Images& images, steps::SandboxRuntime& runtime, asio::io_context& io,
          asio::thread_pool& pool);
  ~Serving();

  // Takes up what kiln.db knows: ready revisions at zero instances, unfinished deployments from their start.
  void resume();

  // Creates or changes a service. A template that differs from the latest revision's makes a new revision,
  // which deploys in the background. Returns what was stored.
  ServiceRecord apply(ServiceSpec spec);
  // Throws NotFound.
  Awaitable<void> remove(const std::string& name_space, const std::string& name);

  Records& records() { return records_; }
  const Options& options() const { return options_; }
  int instances_of(const RevisionRecord& revision) const;

  // Resolves after the next change of any record, or at `deadline`.
  Awaitable<void> changed(std::chrono::steady_clock::time_point deadline);

  // Which revision answers for a Host ("hello.default.localhost", "tag-hello.default.localhost"). Throws
  // NotFound when there is no such service, Unavailable when it has no ready revision yet.
  Awaitable<std::shared_ptr<Revision>> route(std::string host);
  bool is_service_host(std::string_view host) const;

  // Stops all instances, letting requests finish for up to `grace`.
  Awaitable<void> shut_down(Duration grace);

 private:
  using Key = std::pair<std::string, std::string>;  // namespace, name
  struct Target {
    std::string revision;
    int percent = 0;
    std::string tag;
  };

  Key choose(std::string_view host);
  void deploy_in_background(RevisionRecord revision);
  Awaitable<void> deploy(RevisionRecord revision);
  Awaitable<std::shared_ptr<Revision>> load(RevisionRecord& revision);
  void rebuild_routes(const ServiceRecord& service);
  void announce();

  Options options_;
  const registry::Images& images_;
  steps::SandboxRuntime& runtime_;
  asio::io_context& io_;
  asio::thread_pool& pool_;
  Records records_;
  std::map<Key, std::shared_ptr<Revision>> revisions_;
  std::map<Key, std::vector<Target>> routes_;
  std::vector<std::shared_ptr<asio::steady_timer>> watchers_;
  uint32_t dice_ = 0;
};

}  // namespace kiln::serving
