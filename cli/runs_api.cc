#include "cli/runs_api.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace kiln::cli {
namespace {

using executor::Owner;
using executor::RunRecord;
using nlohmann::json;

constexpr std::string_view kPath = "/api/runs";

std::string list(executor::Journal& journal) {
  json names = json::array();
  for (const RunRecord& run : journal.unfinished())
    if (run.owner == Owner::Server && run.parent.empty()) names.push_back(run.id);
  return json{{"runs", std::move(names)}}.dump();
}

std::string start(executor::ServerRuns& runs, executor::Journal& journal, const std::string& id) {
  const RunRecord run = journal.find(id);
  if (run.owner != Owner::Server) throw Error(ErrorKind::NotFound, "run " + id + " is not the server's");
  runs.look();
  return json{{"run", id}}.dump();
}

}  // namespace

bool is_runs_api_path(std::string_view path) {
  return path == kPath || (path.starts_with(kPath) && path[kPath.size()] == '/');
}

Awaitable<void> serve_runs_api(executor::ServerRuns& runs, executor::Journal& journal,
                               HttpExchange& exchange) {
  const std::string_view rest = exchange.path().substr(kPath.size());
  int status = 200;
  std::string body;
  if (exchange.method() == "GET" && rest.empty()) {
    const auto read = [&journal] { return list(journal); };
    body = co_await exchange.on_pool(read);
  } else if (exchange.method() == "POST" && rest.size() > 1) {
    const std::string id(rest.substr(1));
    const auto begin = [&runs, &journal, &id] { return start(runs, journal, id); };
    body = co_await exchange.on_pool(begin);
    status = 202;
  } else {
    status = 405;
    body = "{\"error\":{\"message\":\"GET /api/runs or POST /api/runs/RUN\"}}";
  }
  co_await exchange.respond_json(status, body);
}

}  // namespace kiln::cli
