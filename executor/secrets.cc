#include "executor/secrets.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace kiln::executor {
namespace {

using nlohmann::json;

// A registry configuration as such is no secret that is printed; the words in it are.
void add_passwords(const json& node, std::vector<std::string>& out) {
  if (!node.is_structured()) return;
  for (const auto& [key, value] : node.items()) {
    const bool is_password =
        key == "password" || key == "auth" || key == "identitytoken" || key == "registrytoken";
    if (!is_password || !value.is_string()) {
      add_passwords(value, out);
      continue;
    }
    out.push_back(value.get<std::string>());
    if (key != "auth") continue;
    const std::string pair = base64_decode(out.back()).value_or("");
    if (const size_t colon = pair.find(':'); colon != std::string::npos)
      out.push_back(pair.substr(colon + 1));
  }
}

}  // namespace

SecretMask secrets_of(const dag::Plan& plan) {
  std::vector<std::string> values;
  if (plan.objects)
    for (const auto& [name, secret] : plan.objects->secrets)
      for (const auto& [key, value] : secret.values) {
        values.push_back(value);
        if (key == ".dockerconfigjson" || key == ".dockercfg")
          add_passwords(json::parse(value, nullptr, false), values);
      }
  return SecretMask(values);
}

json masked(const SecretMask& secrets, json document) {
  if (secrets.empty()) return document;
  if (document.is_string()) return secrets.masked(document.get_ref<const std::string&>());
  if (document.is_structured())
    for (json& item : document) item = masked(secrets, std::move(item));
  return document;
}

}  // namespace kiln::executor
