#pragma once

#include "base/http_server.h"
#include "executor/server_runs.h"

namespace kiln::cli {

// The API of a server's runs:
//
//   GET  /api/runs        the runs under way, or waiting for their turn: {"runs":["hello-run-x7k2p"]}
//   POST /api/runs/{id}   look at this run of the journal's, which is the server's: 202; 404 when there is
//   none
Awaitable<void> serve_runs_api(executor::ServerRuns& runs, executor::Journal& journal,
                               HttpExchange& exchange);
bool is_runs_api_path(std::string_view path);

}  // namespace kiln::cli
