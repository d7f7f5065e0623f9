#pragma once

#include <filesystem>

#include "base/http_client.h"
#include "registry/client/credentials.h"
#include "registry/client/session.h"

namespace kiln::registry {

// What a Client (client.h) works with.
struct ClientOptions {
  HttpClient::Options http{.lowest_rate = 1024};
  RetryPolicy retries{};
  int connections = 6;                              // blobs at once
  Environment environment = current_environment();  // where people's files are looked for
  std::filesystem::path system_folder = "/etc";     // the machine's
  std::filesystem::path blob_locations{};           // a file of the cache folder (blob_locations.h)
};

}  // namespace kiln::registry
