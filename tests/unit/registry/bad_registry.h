#pragma once

#include <functional>
#include <gtest/gtest.h>
#include <string>

#include "base/error.h"
#include "tests/unit/registry/fixtures.h"

namespace kiln::registry {

inline std::string some_tar(const std::string& salt) {
  return TarBuilder().file("f", salt + std::string(200'000, 'x')).finish();
}

inline Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorKind::Failed, "nothing was thrown");
}

// A registry that misbehaves as it is told to, before an honest one.
struct FaultyRegistry {
  using Fault = std::function<Awaitable<bool>(HttpExchange&)>;  // true: it has answered
  explicit FaultyRegistry(Fault given)
      : store(dir.path()),
        registry(store),
        fault(std::move(given)),
        server(on_free_port(), [this](HttpExchange& exchange) { return handle(exchange); }) {}
  Awaitable<void> handle(HttpExchange& exchange) {
    const bool answered = co_await fault(exchange);
    if (!answered) co_await registry.handle(exchange);
  }
  // The blob that a request asks for.
  std::string bytes_of(const HttpExchange& exchange) const {
    return store.read(*Digest::parse(exchange.path().substr(exchange.path().rfind('/') + 1)));
  }
  std::string host() const { return server.authority(); }
  TempDir dir;
  Store store;
  RegistryServer registry;
  Fault fault;
  HttpServer server;
};

// Files of the user, and of the machine, that the client finds instead of real ones.
struct ClientHome {
  void conf(const std::string& toml) {
    make_dirs(dir.path() / "containers");
    write_file(dir.path() / "containers/registries.conf", toml);
  }
  Client::Options options() const {
    Client::Options out = impatient();
    out.environment = {{"XDG_CONFIG_HOME", dir.path().string()}};
    out.system_folder = dir.path() / "etc";
    return out;
  }
  TempDir dir;
};

}  // namespace kiln::registry
