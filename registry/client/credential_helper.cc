#include "registry/client/credential_helper.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"

namespace kiln::registry::detail {
namespace {

using nlohmann::json;

// As user name: the secret is an identity token.
constexpr std::string_view kTokenUser = "<token>";

std::string text_of(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

}  // namespace

CredentialHelper::CredentialHelper(const std::string& name, Environment environment)
    : program_("docker-credential-" + name), environment_(std::move(environment)) {
  if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") !=
      std::string::npos)
    throw Error(ErrorKind::Invalid, "\"" + name + "\" is not the name of a credential helper");
}

Finished CredentialHelper::call(const char* verb, const std::string& input) const {
  return run({.argv = {program_, verb}, .environment = environment_, .directory = {}, .input = input});
}

void CredentialHelper::fail(const Finished& finished, const char* verb, const std::string& server) const {
  throw Error(ErrorKind::Failed,
              program_ + " failed: " + std::string(trim(finished.output + finished.errors)),
              "run it by hand: echo " + server + " | " + program_ + " " + verb);
}

Credentials CredentialHelper::get(const std::string& server) const {
  const Finished finished = call("get", server);
  if (!finished.ok()) {
    // The protocol has no code for "nothing there", only words.
    if (finished.output.find("credentials not found") != std::string::npos) return {};
    fail(finished, "get", server);
  }
  const json answer = json::parse(finished.output, nullptr, false);
  if (!answer.is_object()) throw Error(ErrorKind::Failed, program_ + " did not answer in JSON");
  Credentials out;
  out.username = text_of(answer, "Username");
  out.password = text_of(answer, "Secret");
  if (out.username == kTokenUser) {
    out.identity_token = std::move(out.password);
    out.username = out.password = "";
  }
  return out;
}

void CredentialHelper::store(const std::string& server, const Credentials& credentials) const {
  const bool token = !credentials.identity_token.empty();
  const json document{{"ServerURL", server},
                      {"Username", token ? std::string(kTokenUser) : credentials.username},
                      {"Secret", token ? credentials.identity_token : credentials.password}};
  const Finished finished = call("store", document.dump());
  if (!finished.ok()) fail(finished, "get", server);  // the hint: nobody types a password into a shell
}

bool CredentialHelper::erase(const std::string& server) const {
  if (get(server).empty()) return false;
  const Finished finished = call("erase", server);
  if (!finished.ok()) fail(finished, "erase", server);
  return true;
}

}  // namespace kiln::registry::detail
