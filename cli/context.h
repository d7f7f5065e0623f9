#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/dirs.h"
#include "base/error.h"
#include "registry/image_aliases.h"
#include "registry/server/registry_settings.h"

namespace CLI {
class App;
}
namespace kiln::registry {
class Client;
class Images;
class Store;
}  // namespace kiln::registry
namespace kiln::steps {
class SandboxRuntime;
}

namespace kiln::cli {

// What the verbs share: the global options, and the parts they stand on, each made when first asked for.
// One thread only.
class Context {
 public:
  Context();
  ~Context();

  // Global options, set by the parser.
  std::string root;                              // --root
  std::string sandbox = "native";                // --sandbox
  std::string server;                            // --server: URL of a running `kiln serve`
  registry::ImageAliases aliases;                // [images] of the config.toml files
  registry::RegistrySettings registry_settings;  // [registry] of them
  std::optional<Error> settings_problem;         // what is wrong there: `kiln serve` says so
  int exit_code = 0;                             // of the verb

  const Dirs& dirs();
  registry::Store& store();
  // For what only looks: a store that is there may be one that cannot be written to.
  registry::Store& store_to_read();
  registry::Client& client();
  registry::Images& images();
  steps::SandboxRuntime& runtime();

  // "http://127.0.0.1:8080": --server, else the server that runs on these folders, else the default.
  std::string server_url();
  // The certificate that the server on these folders has; empty: none, or it is another's.
  std::string server_certificate();
  std::filesystem::path server_file();  // where a running server says its address

  // Ctrl-C or SIGTERM: the first calls for an orderly end (`finally` runs), the second for an end now, a
  // third ends the process without more ado (what it runs dies with it). That is from the first stop() on:
  // before, and after end_at_once(), nobody would look at the tokens, and the first signal ends the process.
  std::stop_token stop() {
    orderly_ = true;
    return stop_.get_token();
  }
  std::stop_token kill() const { return kill_.get_token(); }
  void end_at_once() { orderly_ = false; }
  // Blocks the signals in this thread and those it starts, and waits for them. Call before any thread exists.
  void catch_interrupts();

 private:
  std::string of_server(const char* name);  // a member of that file; empty when there is none

  std::stop_source stop_, kill_;
  std::atomic<bool> orderly_ = false;  // somebody looks at the tokens
  std::optional<Dirs> dirs_;
  std::unique_ptr<registry::Store> store_;
  std::unique_ptr<registry::Client> client_;
  std::unique_ptr<registry::Images> images_;
  std::unique_ptr<steps::SandboxRuntime> runtime_;
  struct Signals;
  std::unique_ptr<Signals> signals_;
};

}  // namespace kiln::cli
