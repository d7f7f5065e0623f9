#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <fcntl.h>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/http_server.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/metrics_page.h"
#include "cli/pipeline_run.h"
#include "cli/runs_api.h"
#include "cli/stored_run.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "executor/journal.h"
#include "executor/run_lock.h"
#include "executor/server_runs.h"
#include "registry/server/registry_policies.h"
#include "registry/server/server.h"
#include "serving/api.h"
#include "serving/gateway.h"
#include "serving/serving.h"
#include "serving/status.h"

namespace kiln::cli {
namespace {

constexpr Duration kShutdownGrace = std::chrono::seconds(10);

// A plain page that says what is here.
std::string home_page(serving::Serving& serving) {
  std::string rows;
  for (const auto& service : serving.records().services()) {
    const std::string host =
        service.spec.name + "." + service.spec.name_space + "." + serving.options().domain;
    const std::string url = serving::service_url(service.spec.name, service.spec.name_space,
                                                 serving.options().domain, serving.options().authority);
    rows +=
        "<tr><td><a href=\"" + url + "/\">" + host + "</a></td><td>" + service.latest_ready + "</td></tr>\n";
  }
  return "<!doctype html><meta charset=\"utf-8\"><title>Kiln</title>\n<h1>Kiln</h1>\n"
         "<table><tr><th>Service</th><th>Ready revision</th></tr>\n" +
         rows +
         "</table>\n"
         "<p>Registry at <a href=\"/v2/_catalog\">/v2/</a>, API at /apis/serving.knative.dev/v1/.</p>\n";
}

// Whether a request to registry, API or pages was meant for us. A page that somebody's browser has open can
// send requests to localhost; it cannot choose their Origin, nor (DNS rebinding) have a Host that is ours.
bool is_trustworthy(const HttpExchange& exchange, const std::vector<std::string>& names) {
  const std::string_view host = exchange.host();
  boost::system::error_code no_address;
  asio::ip::make_address(std::string(host.starts_with('[') ? host.substr(1, host.size() - 2) : host),
                         no_address);
  const bool ours =
      !no_address || std::ranges::any_of(names, [&](const std::string& name) { return iequals(name, host); });
  const std::string_view origin = exchange.header("Origin");
  return ours && (origin.empty() || origin.ends_with("://" + std::string(exchange.header("Host"))));
}

// What answers, once it is there.
struct Parts {
  serving::Serving& serving;
  registry::RegistryServer& registry;
  registry::RegistryPolicies& policies;
  executor::ServerRuns& runs;
  executor::Journal& journal;
};

Awaitable<void> answer(HttpExchange& exchange, Parts parts, const std::vector<std::string>& names) {
  serving::Serving& serving = parts.serving;
  if (serving.is_service_host(exchange.host())) {
    co_await serving::serve_service(serving, exchange);
  } else if (!is_trustworthy(exchange, names)) {
    co_await exchange.respond_json(403,
                                   "{\"error\":{\"message\":\"this server does not answer to that Host or "
                                   "Origin\",\"hint\":\"kiln serve --name NAME adds a host name\"}}");
  } else if (exchange.path().starts_with("/v2")) {
    co_await parts.registry.handle(exchange);
  } else if (serving::is_api_path(exchange.path())) {
    co_await serving::serve_api(serving, exchange);
  } else if (is_runs_api_path(exchange.path())) {
    co_await serve_runs_api(parts.runs, parts.journal, exchange);
  } else if (exchange.path() == "/metrics") {
    const std::string page = co_await exchange.on_pool(
        [&] { return metrics_page(parts.registry.metrics(), parts.policies.events_waiting()); });
    HttpHeaders headers;
    headers.add("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    co_await exchange.respond(200, std::move(headers), page);
  } else if (exchange.path() == "/") {
    const std::string page = home_page(serving);
    HttpHeaders headers;
    headers.add("Content-Type", "text/html; charset=utf-8");
    co_await exchange.respond(200, std::move(headers), page);
  } else {
    co_await exchange.respond_json(404, "{\"error\":{\"message\":\"there is nothing at this path\"}}");
  }
}

// The address of the running server, for the other verbs; gone when the server ends in order.
class ServerFile {
 public:
  // `certificate`: of the server, empty without TLS.
  ServerFile(fs::path file, const std::string& url, const fs::path& certificate) : file_(std::move(file)) {
    nlohmann::json says{{"url", url}, {"pid", ::getpid()}};
    if (!certificate.empty()) says["certificate"] = fs::absolute(certificate).string();
    write_file_atomic(file_, says.dump() + "\n");
  }
  ~ServerFile() { ::unlink(file_.c_str()); }

 private:
  fs::path file_;
};

// One server per set of folders: two would both think that the services are theirs.
UniqueFd lock_server(const fs::path& state) {
  make_dirs(state, 0700);
  UniqueFd lock = open_file(state / "serve.lock", O_RDWR | O_CREAT, 0600);
  struct flock range {};
  range.l_type = F_WRLCK;
  if (::fcntl(lock.get(), F_SETLK, &range) != 0)
    throw Error(ErrorKind::Infrastructure,
                "a `kiln serve` runs on these folders already (" + state.string() + ")",
                "use that one, or give this one folders of its own with --root");
  return lock;
}

// Says in the server's log how its runs go; their output is in their own logs.
class RunLogger final : public executor::RunObserver {
 public:
  void run_started(const executor::RunRecord& run, const dag::Plan&) override {
    spdlog::info("run {} goes on", run.id);
  }
  void run_finished(const executor::RunRecord& run, const executor::State&) override {
    spdlog::info("run {}: {}: {}", run.id, run.reason, run.message);
  }
};

void log_problem(const executor::RunRecord& run, const Error& error) {
  spdlog::error("run {} is not carried on: {}", run.id, error.full());
}

struct ServeOptions {
  std::string listen = "127.0.0.1:8080", domain = "localhost";
  std::vector<std::string> names;
  std::string tls_certificate, tls_key;
};

void check(const ServeOptions& options) {
  if (options.tls_certificate.empty() != options.tls_key.empty())
    throw Error(ErrorKind::Usage,
                options.tls_key.empty() ? "--tls-cert has no key" : "--tls-key has no certificate",
                "give both: --tls-cert FILE --tls-key FILE");
}

// What whoever lets others reach the server should know.
void warn_of_strangers(const ServeOptions& options, const std::string& address, bool has_users) {
  if (is_loopback_host(address)) return;
  if (!has_users)
    say("warning: everybody who reaches " + address +
        " may push and pull: --registry-htpasswd FILE asks for a password");
  else if (options.tls_certificate.empty())
    say("warning: passwords cross the network to " + address +
        " as they are: --tls-cert and --tls-key encrypt them");
  say("warning: API, pages and services of this server ask nobody for a password; keep strangers from " +
      address + " by a firewall or a proxy");
}

registry::RegistryServer::Options registry_options(Context& context, registry::RegistryHooks& policies) {
  context.registry_settings.check();
  registry::RegistryServer::Options options;
  options.settings = context.registry_settings;
  options.hooks = &policies;
  options.token_key = context.dirs().state / "registry-token.key";
  return options;
}

void serve(ServeOptions options, Context& context) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("kiln"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  if (context.settings_problem) throw *context.settings_problem;
  check(options);
  const UniqueFd lock = lock_server(context.dirs().state);
  executor::Journal journal(context.dirs().database());
  note_lost_runs(journal, context.dirs(), [](const std::string& text) { say("note: " + text); });

  options.names.emplace_back("localhost");
  const auto [address, port] = parse_listen_address(options.listen);
  warn_of_strangers(options, address, !context.registry_settings.htpasswd.empty());
  // Null until the port is known, which the serving layer writes into its URLs.
  std::atomic<const Parts*> ready = nullptr;
  // One I/O thread: it owns the serving layer's state, which therefore needs no locks.
  HttpServer server({.address = address,
                     .port = port,
                     .threads = 1,
                     .tls_certificate = options.tls_certificate,
                     .tls_key = options.tls_key},
                    [&](HttpExchange& exchange) {
                      const Parts* parts = ready;
                      if (!parts) throw Error(ErrorKind::Unavailable, "the server is starting");
                      return answer(exchange, *parts, options.names);
                    });
  // A certificate is of a name, so the first that was given is the one to use.
  const bool secure = !options.tls_certificate.empty();
  const std::string authority =
      (secure ? options.names.front() : "localhost") + ":" + std::to_string(server.port());
  const std::string url = secure ? "https://" + authority : "http://" + server.authority();
  registry::RegistryPolicies policies(context.store(), context.client(),
                                      {.settings = context.registry_settings.policies,
                                       .database = context.dirs().state / "registry.db",
                                       .source = url,
                                       .has_users = !context.registry_settings.htpasswd.empty(),
                                       .read_only = context.registry_settings.read_only,
                                       .stop = context.stop()});
  registry::RegistryServer registry(context.store(), registry_options(context, policies));
  serving::Serving serving({.database = context.dirs().database(),
                            .logs = context.dirs().state / "services",
                            .domain = options.domain,
                            .authority = secure ? url : authority},
                           context.images(), context.runtime(), server.io(), server.pool());
  const ServerFile file(context.server_file(), url, options.tls_certificate);
  steps::LocalPods pods(context.runtime(), context.images(), pod_options(context));
  executor::LocalPodRunner pod_runner(pods);
  executor::Driver driver(journal, pod_runner, context.dirs());
  RunLogger run_logger;
  executor::ServerRuns runs(journal, driver, run_logger, log_problem);
  const Parts parts{serving, registry, policies, runs, journal};
  // Whatever happens below: the loop must have stopped before what answers goes, and only then the server.
  const OnExit stop_first([&] { server.stop(); });
  asio::post(server.io(), std::packaged_task<void()>([&] { serving.resume(); })).get();
  ready = &parts;
  runs.look();
  say("kiln serve: " + url + "/  (registry " + authority + ", services *.default." + options.domain + ")");

  std::promise<void> stopped;
  std::stop_callback on_stop(context.stop(), [&] { stopped.set_value(); });
  stopped.get_future().wait();
  say("stopping");
  runs.leave();
  std::future<void> down = asio::co_spawn(server.io(), serving.shut_down(kShutdownGrace), asio::use_future);
  down.wait();
  context.exit_code = 0;
}

}  // namespace

void add_serve(CLI::App& app, Context& context) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* verb = app.add_subcommand("serve",
                                      "Run registry, API and gateway on one port\n\n"
                                      "  kiln serve\n"
                                      "  kiln serve --listen 127.0.0.1:0    a free port\n");
  verb->add_option("--listen", options->listen, "Address and port")->capture_default_str();
  verb->add_option("--domain", options->domain, "Services are <name>.<namespace>.<domain>")
      ->capture_default_str();
  verb->add_option("--name", options->names, "One more host name that registry and API answer to");
  verb->add_option("--tls-cert", options->tls_certificate,
                   "Speak TLS with this certificate (PEM, with those that lead to its root)");
  verb->add_option("--tls-key", options->tls_key, "The certificate's key (PEM)");
  registry::RegistrySettings& settings = context.registry_settings;
  verb->add_flag("--registry-sparse", settings.sparse, "Take manifests whose blobs are not here");
  verb->add_flag("--registry-read-only", settings.read_only, "Pulls only");
  verb->add_option_function<std::string>(
      "--registry-htpasswd", [&settings](const std::string& file) { settings.htpasswd = file; },
      "Users of the registry and their bcrypt passwords, as `htpasswd -B` writes them");
  verb->add_flag("--registry-anonymous-pull", settings.anonymous_pull, "Pulls need no user");
  verb->callback([options, &context] { serve(*options, context); });
}

}  // namespace kiln::cli
