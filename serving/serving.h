#pragma once

#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/http_server.h"
#include "registry/images.h"
#include "serving/background.h"
#include "serving/records.h"
#include "serving/revision.h"

namespace kiln::serving {

// The serving layer: turns Services into Revisions at work and decides which Revision a request goes to. A
// new revision takes traffic only once an instance of it has been ready; until then, and if it never is, the
// old one answers. Everything belongs to the server's one I/O thread; blocking work goes to its pool.
class Serving {
 public:
  struct Options {
    std::filesystem::path database;
    std::filesystem::path logs;  // <logs>/<namespace>/<revision>.log
    std::string domain = "localhost";
    std::string authority;  // "localhost:8080": how URLs in status name this server
    RevisionOptions revisions{};
  };
  Serving(Options options, const registry::Images& images, steps::SandboxRuntime& runtime,
          asio::io_context& io, asio::thread_pool& pool);
  ~Serving();

  // Takes up what kiln.db knows: ready revisions at zero instances (or their min-scale), unfinished
  // deployments from their start.
  void resume();

  // Creates or changes a service. A template that differs from the latest revision's makes a new revision,
  // which deploys in the background. Returns what was stored.
  ServiceRecord apply(ServiceSpec spec);
  // The service is gone when this returns; its instances stop in the background, requests under way first.
  // Throws NotFound.
  void remove(const std::string& name_space, const std::string& name);

  Records& records() { return records_; }
  const Options& options() const { return options_; }
  int instances_of(const RevisionRecord& revision) const;

  // Resolves after the next change of any record, or at `deadline`.
  Awaitable<void> changed(std::chrono::steady_clock::time_point deadline);

  // Which revision answers for a Host ("hello.default.localhost", "tag-hello.default.localhost"). Throws
  // NotFound when there is no such service, Unavailable when it has no ready revision yet or after shut_down.
  // `host` must live until then.
  Awaitable<std::shared_ptr<Revision>> route(std::string_view host);
  bool is_service_host(std::string_view host) const;

  // Takes no more requests, lets those there are finish for up to `grace`, stops all instances, and waits for
  // all else that is under way. When it resolves, no coroutine uses this object but requests that were cut
  // off. Without it, the object may only be destroyed when its loop and pool have stopped.
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
  Awaitable<void> start_at_once(RevisionRecord revision);
  Awaitable<void> start_deployed(RevisionRecord& revision, std::shared_ptr<Revision>& running);
  Awaitable<std::shared_ptr<Revision>> load(RevisionRecord revision);
  Awaitable<void> shut_down_revision(std::shared_ptr<Revision> revision, Duration grace);
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
  Background background_;
  std::stop_source stop_;
  bool closed_ = false;
  uint32_t dice_ = 0;
};

}  // namespace kiln::serving
