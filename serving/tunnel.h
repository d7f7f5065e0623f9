#pragma once

#include <string>
#include <string_view>

#include "base/http_server.h"

namespace kiln::serving {

// Passes bytes both ways until both sides have finished, after `to_client` and `to_upstream` that are there
// already. When one side has finished, the other gets a minute more.
Awaitable<void> tunnel(asio::ip::tcp::socket& client, asio::ip::tcp::socket& upstream, std::string to_client,
                       std::string to_upstream);

}  // namespace kiln::serving
