#include "executor/secrets.h"

#include <nlohmann/json.hpp>

#include "steps/host_passwords.h"

namespace kiln::executor {

using nlohmann::json;

SecretMask secrets_of(const dag::Plan& plan, std::vector<std::string> values) {
  if (plan.objects)
    for (const auto& [name, secret] : plan.objects->secrets)
      for (const auto& [key, value] : secret.values) {
        values.push_back(value);
        // A registry configuration as such is no secret that is printed; the words in it are.
        if (key == ".dockerconfigjson" || key == ".dockercfg")
          for (std::string& one : steps::passwords_in(value)) values.push_back(std::move(one));
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
