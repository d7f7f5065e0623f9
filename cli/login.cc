#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>
#include <memory>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "registry/client.h"
#include "registry/reference.h"

namespace kiln::cli {
namespace {

constexpr uint64_t kLongestPassword = 1 << 20;

struct LoginOptions {
  std::string host, user;
  bool password_stdin = false;
};

// One line of the terminal, what is typed not shown when `hidden`.
std::string ask(const char* question, bool hidden) {
  if (::isatty(0) != 1)
    throw Error(ErrorKind::Usage, std::string("there is no terminal to ask for the ") + question,
                "give the user with -u and the password on stdin: --password-stdin");
  std::cerr << question << ": " << std::flush;
  termios shown{};
  ::tcgetattr(0, &shown);
  termios silent = shown;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  if (hidden) ::tcsetattr(0, TCSAFLUSH, &silent);
  const OnExit show([&] {
    if (hidden) ::tcsetattr(0, TCSAFLUSH, &shown);
  });
  std::string line;
  std::getline(std::cin, line);
  if (hidden) std::cerr << "\n";
  if (line.empty()) throw Error(ErrorKind::Usage, std::string("no ") + question + " was given");
  return line;
}

std::string password_from_stdin() {
  std::string text;
  char buffer[4096];
  while (text.size() <= kLongestPassword) {
    const ssize_t n = ::read(0, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read the password");
    if (n == 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.empty() || text.size() > kLongestPassword)
    throw Error(ErrorKind::Usage, "there is no password on stdin", "printf %s \"$PASSWORD\" | kiln login …");
  return text;
}

// Whose credentials: a registry's, or those of a part of it.
struct Scope {
  std::string host, path;
  std::string text() const { return path.empty() ? host : host + "/" + path; }
};

// "localhost:5000", "localhost:5000/team"; of a URL the host counts.
Scope scope_of(const std::string& given) {
  std::string text = given;
  bool url = false;
  for (const char* scheme : {"https://", "http://", "docker://"})
    if (text.starts_with(scheme)) {
      text.erase(0, std::string_view(scheme).size());
      url = url || std::string_view(scheme) != "docker://";
    }
  const size_t slash = text.find('/');
  Scope out{text.substr(0, slash), slash == std::string::npos || url ? "" : text.substr(slash + 1)};
  while (out.path.ends_with('/')) out.path.pop_back();
  if (!registry::Reference::try_parse(out.host + "/x") ||
      registry::Reference::parse(out.host + "/x").host != out.host)
    throw Error(ErrorKind::Usage, "\"" + given + "\" is not a registry's host", "kiln login localhost:5000");
  if (!out.path.empty() && !registry::is_repository_name(out.path))
    throw Error(ErrorKind::Usage, "\"" + out.path + "\" is no part of a registry",
                "kiln login " + out.host + "/team, without tag and digest");
  return out;
}

// A Client that knows these credentials and no others; certificates and registries.conf are the user's.
void check(const std::string& host, const registry::Credentials& credentials) {
  const TempDir folder;
  registry::Client::Options options;
  options.environment["REGISTRY_AUTH_FILE"] = (folder.path() / "auth.json").native();
  options.environment["DOCKER_CONFIG"] = folder.path().native();
  registry::Client client(options);
  client.credentials().save(host, credentials);
  try {
    client.check_login(host);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Failed) throw;
    throw Error(ErrorKind::Infrastructure, "registry " + host + " refuses these credentials",
                "check user and password");
  }
}

void login(const LoginOptions& options, Context& context) {
  const Scope scope = scope_of(options.host);
  const std::string name = scope.text();
  context.end_at_once();
  registry::Credentials credentials;
  if (options.password_stdin && options.user.empty())
    throw Error(ErrorKind::Usage, "--password-stdin needs the user", "add -u USER");
  credentials.username = options.user.empty() ? ask("user", false) : options.user;
  credentials.password = options.password_stdin ? password_from_stdin() : ask("password", true);
  check(scope.host, credentials);
  const registry::CredentialFiles& files = context.client().credentials();
  files.save(name, credentials);
  if (files.find(scope.host, scope.path).username != credentials.username)
    throw Error(
        ErrorKind::Failed,
        "the credentials are right, but a credential helper or another file decides for " + name,
        "files that are read: " + [&] {
          std::vector<std::string> names;
          for (const auto& file : files.files()) names.push_back(file.string());
          return join(names, ", ");
        }());
  print("logged in to " + name + " as " + credentials.username + "\n");
}

void logout(const LoginOptions& options, Context& context) {
  const std::string name = scope_of(options.host).text();
  if (!context.client().credentials().erase(name))
    throw Error(ErrorKind::NotFound, "there are no credentials for " + name);
  print("logged out of " + name + "\n");
}

}  // namespace

void add_login(CLI::App& app, Context& context) {
  auto options = std::make_shared<LoginOptions>();
  CLI::App* in =
      app.add_subcommand("login",
                         "Keep credentials of a registry where docker and podman look for them, too\n\n"
                         "  kiln login registry.example\n"
                         "  printf %s \"$PASSWORD\" | kiln login registry.example -u ci --password-stdin\n");
  in->add_option("host", options->host, "Registry, or a part of it: HOST/PATH")->required();
  in->add_option("-u,--username", options->user, "User; asked for when not given");
  in->add_flag("--password-stdin", options->password_stdin, "Read the password from stdin");
  in->callback([options, &context] { login(*options, context); });
  CLI::App* out = app.add_subcommand("logout",
                                     "Forget them\n\n"
                                     "  kiln logout registry.example\n");
  out->add_option("host", options->host, "Registry, or a part of it: HOST/PATH")->required();
  out->callback([options, &context] { logout(*options, context); });
}

}  // namespace kiln::cli
