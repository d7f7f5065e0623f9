#include "serving/serving.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <cstdio>
#include <spdlog/spdlog.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "registry/store/snapshots.h"
#include "registry/store/store.h"

namespace kiln::serving {
namespace {

constexpr Duration kDeleteGrace = std::chrono::seconds(30);  // for requests of a deleted service

// Kubernetes-style random UID (RFC 4122 version 4 form).
std::string new_uid() {
  std::string digits = random_hex(16);
  digits[12] = '4';
  digits[16] = "89ab"[digits[16] & 3];
  return digits.substr(0, 8) + "-" + digits.substr(8, 4) + "-" + digits.substr(12, 4) + "-" +
         digits.substr(16, 4) + "-" + digits.substr(20);
}

std::string revision_name(const std::string& service, int64_t generation,
                          const nlohmann::json& revision_template) {
  const std::string chosen = revision_template.value("metadata", nlohmann::json::object()).value("name", "");
  if (!chosen.empty()) return chosen;
  char number[24];
  std::snprintf(number, sizeof number, "-%05lld", static_cast<long long>(generation));
  return service + number;
}

}  // namespace

Serving::Serving(Options options, const registry::Images& images, steps::SandboxRuntime& runtime,
                 asio::io_context& io, asio::thread_pool& pool)
    : options_(std::move(options)),
      images_(images),
      runtime_(runtime),
      io_(io),
      pool_(pool),
      records_(options_.database),
      background_(io) {}

Serving::~Serving() {
  for (const auto& [key, revision] : revisions_) revision->abandon();
}

void Serving::resume() {
  for (const ServiceRecord& service : records_.services()) {
    for (RevisionRecord& revision : records_.revisions(service.spec.name_space, service.spec.name))
      if (revision.state == RevisionState::Deploying) deploy_in_background(std::move(revision));
    rebuild_routes(service);
    for (const Target& target : routes_[{service.spec.name_space, service.spec.name}]) {
      auto revision = records_.revision(service.spec.name_space, target.revision);
      if (revision && ContainerSettings::of(revision->revision_template).min_scale > 0)
        background_.start("starting " + target.revision, start_at_once(std::move(*revision)));
    }
  }
}

Awaitable<void> Serving::start_at_once(RevisionRecord record) {
  const std::shared_ptr<Revision> revision = co_await load(std::move(record));
  co_await revision->start_first();
}

ServiceRecord Serving::apply(ServiceSpec spec) {
  const std::optional<ServiceRecord> existing = records_.service(spec.name_space, spec.name);
  ServiceRecord service;
  if (existing) service = *existing;
  const bool new_template = !existing || existing->spec.revision_template != spec.revision_template;
  if (existing && !new_template && existing->spec.to_json() == spec.to_json()) {
    // The same again: only a deployment that failed is worth another try.
    const auto latest = records_.revision(spec.name_space, existing->latest_created);
    if (!latest || latest->state != RevisionState::Failed) return *existing;
    RevisionRecord again = *latest;
    again.state = RevisionState::Deploying;
    again.reason = again.message = "";
    records_.save(again);
    deploy_in_background(std::move(again));
    return *existing;
  }
  service.spec = std::move(spec);
  if (!existing) {
    service.uid = new_uid();
    service.created = format_rfc3339(system_clock().now());
  } else {
    ++service.generation;
    if (new_template) ++service.template_generation;
  }
  if (!new_template) {
    records_.save(service);
    rebuild_routes(service);
    announce();
    return service;
  }
  const bool named =
      !service.spec.revision_template.value("metadata", nlohmann::json::object()).value("name", "").empty();
  // A name of the user's own may look like one of ours.
  while (!named && records_.revision(service.spec.name_space,
                                     revision_name(service.spec.name, service.template_generation,
                                                   service.spec.revision_template)))
    ++service.template_generation;
  RevisionRecord revision{
      .name_space = service.spec.name_space,
      .name = revision_name(service.spec.name, service.template_generation, service.spec.revision_template),
      .service = service.spec.name,
      .generation = service.template_generation,
      .revision_template = service.spec.revision_template,
      .image_digest = "",
      .state = RevisionState::Deploying,
      .reason = "",
      .message = "",
      .created = format_rfc3339(system_clock().now())};
  if (records_.revision(revision.name_space, revision.name))
    throw Error(ErrorKind::Invalid, "revision name " + revision.name + " is taken (RevisionNameTaken)",
                "revisions are immutable: choose another name");
  service.latest_created = revision.name;
  records_.save(service, revision);
  deploy_in_background(std::move(revision));
  announce();
  return service;
}

void Serving::deploy_in_background(RevisionRecord revision) {
  if (closed_) return;  // the next start takes it up
  const std::string what = "deploying " + revision.name;
  background_.start(what, deploy(std::move(revision)));
}

// What it takes to run a revision: its image in the store, unpacked. Cached; blocking parts run on the pool.
Awaitable<std::shared_ptr<Revision>> Serving::load(RevisionRecord record) {
  const Key key{record.name_space, record.name};
  if (const auto known = revisions_.find(key); known != revisions_.end()) co_return known->second;
  InstanceSpec spec;
  spec.service = record.service;
  spec.configuration = record.service;
  spec.revision = record.name;
  spec.settings = ContainerSettings::of(record.revision_template);
  spec.log = options_.logs / record.name_space / (record.name + ".log");
  auto fetch = [this, &spec, &record, stop = stop_.get_token()] {
    // Once resolved, a revision means that very image, whatever the tag says later.
    std::string reference = spec.settings.image;
    if (!record.image_digest.empty() && reference.find('@') == std::string::npos)
      reference += "@" + record.image_digest;
    if (const auto digest = Digest::parse(record.image_digest); digest && images_.store().has(*digest)) {
      registry::Descriptor descriptor;
      descriptor.media_type = std::string(registry::media::kManifest);
      descriptor.digest = *digest;
      descriptor.size = *images_.store().size(*digest);
      spec.image = images_.store().load(descriptor);
    } else {
      spec.image = images_.get(reference, registry::PullPolicy::IfNotPresent, stop);
    }
    spec.lease = std::make_shared<registry::Lease>(images_.store(), "revision");
    spec.lowers = registry::Snapshots(images_.store()).prepare(spec.image, spec.lease.get());
  };
  co_await on_pool(pool_, fetch);
  // Meanwhile the service may have been deleted (and made again), the server may be stopping, or another
  // coroutine may have loaded the same.
  const auto current = records_.revision(record.name_space, record.name);
  if (closed_ || !current || current->revision_template != record.revision_template)
    throw Error(ErrorKind::Cancelled, "revision " + record.name + " is gone");
  if (const auto known = revisions_.find(key); known != revisions_.end()) co_return known->second;
  auto revision = std::make_shared<Revision>(std::move(spec), options_.revisions, runtime_, io_, pool_);
  revisions_[key] = revision;
  co_return revision;
}

namespace {

// The reason of a revision's condition, as Knative words them.
std::string reason_of(const Error& error, bool has_image) {
  constexpr std::string_view kExit = "Container failed with: exit code ";
  if (!has_image) return "ContainerMissing";
  if (error.kind() == ErrorKind::TimedOut) return "ProgressDeadlineExceeded";
  if (error.message().starts_with(kExit)) return "ExitCode" + error.message().substr(kExit.size());
  return "ContainerFailed";
}

}  // namespace

// Throws Cancelled when the revision need not be deployed any more.
Awaitable<void> Serving::start_deployed(RevisionRecord& record, std::shared_ptr<Revision>& running) {
  std::optional<Error> failure;
  try {
    running = co_await load(record);
    record.image_digest = running->image_digest().text();
    co_await running->start_first();
    record.state = RevisionState::Ready;
  } catch (const Error& error) {
    failure = error;
  } catch (const std::exception& error) {
    failure = Error(ErrorKind::Infrastructure, error.what());
  }
  if (!failure) co_return;
  if (failure->kind() == ErrorKind::Cancelled || closed_)
    throw Error(ErrorKind::Cancelled, "the deployment was cancelled");
  record.state = RevisionState::Failed;
  record.reason = reason_of(*failure, !record.image_digest.empty());
  record.message = failure->full();
  spdlog::error("revision {} failed: {}", record.name, failure->full());
}

Awaitable<void> Serving::deploy(RevisionRecord record) {
  const auto begin = std::chrono::steady_clock::now();
  std::shared_ptr<Revision> running;
  co_await start_deployed(record, running);
  const Key key{record.name_space, record.name};
  // The service may have been deleted, or have moved on, while this revision was starting.
  const auto current = records_.revision(record.name_space, record.name);
  auto service = records_.service(record.name_space, record.service);
  const bool wanted = service && current && current->revision_template == record.revision_template;
  if (running && (!wanted || record.state != RevisionState::Ready)) {
    if (const auto found = revisions_.find(key); found != revisions_.end() && found->second == running)
      revisions_.erase(found);
    background_.start("stopping " + record.name, shut_down_revision(running, Duration{}));
  }
  if (!wanted) co_return;
  if (record.state == RevisionState::Ready) {
    const auto ready = records_.revision(record.name_space, service->latest_ready);
    if (!ready || ready->generation < record.generation) service->latest_ready = record.name;
    spdlog::info(
        "revision {} is ready after {}", record.name,
        format_seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()));
  }
  records_.save(*service, record);
  rebuild_routes(*service);
  announce();
}

Awaitable<std::shared_ptr<Revision>> Serving::route(std::string_view host) {
  if (closed_) throw Error(ErrorKind::Unavailable, "the server is stopping");
  const Key key = choose(host);
  if (const auto running = revisions_.find(key); running != revisions_.end()) co_return running->second;
  const auto record = records_.revision(key.first, key.second);
  if (!record) throw Error(ErrorKind::Unavailable, "revision " + key.second + " is gone");
  try {
    co_return co_await load(*record);
  } catch (const Error& error) {
    // Whatever is missing now was there when the revision became ready: not the client's mistake.
    throw Error(ErrorKind::Unavailable, error.full(), error.hint()).because("cannot start " + key.second);
  }
}

void Serving::remove(const std::string& name_space, const std::string& name) {
  const auto service = records_.service(name_space, name);
  if (!service) throw Error(ErrorKind::NotFound, "services.serving.knative.dev \"" + name + "\" not found");
  std::vector<std::shared_ptr<Revision>> running;
  for (const RevisionRecord& record : records_.revisions(name_space, name)) {
    const auto found = revisions_.find({name_space, record.name});
    if (found == revisions_.end()) continue;
    running.push_back(found->second);
    revisions_.erase(found);
  }
  records_.remove(name_space, name);
  routes_.erase({name_space, name});
  announce();
  for (const auto& revision : running)
    background_.start("stopping " + revision->name(), shut_down_revision(revision, kDeleteGrace));
}

int Serving::instances_of(const RevisionRecord& record) const {
  const auto running = revisions_.find({record.name_space, record.name});
  return running == revisions_.end() ? 0 : running->second->instances();
}

void Serving::announce() {
  for (const auto& watcher : std::exchange(watchers_, {})) watcher->cancel();
}

Awaitable<void> Serving::changed(std::chrono::steady_clock::time_point deadline) {
  if (closed_) throw Error(ErrorKind::Unavailable, "the server is stopping");
  auto timer = std::make_shared<asio::steady_timer>(io_, deadline);
  watchers_.push_back(timer);
  boost::system::error_code cancelled;
  co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  std::erase(watchers_, timer);
}

Awaitable<void> Serving::shut_down_revision(std::shared_ptr<Revision> revision, Duration grace) {
  co_await revision->shut_down(grace);
}

Awaitable<void> Serving::shut_down(Duration grace) {
  closed_ = true;
  stop_.request_stop();
  announce();
  for (auto& [key, revision] : std::exchange(revisions_, {}))
    background_.start("stopping " + revision->name(), shut_down_revision(revision, grace));
  co_await background_.finished();
}

}  // namespace kiln::serving
