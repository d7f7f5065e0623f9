#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/http_client.h"

namespace kiln::cli {

class Context;

// Speaks to the serving API of a running `kiln serve`.
class ApiClient {
 public:
  explicit ApiClient(Context& context);

  // `path` below /apis/serving.knative.dev/v1/. Throws what the server says as an Error of the fitting kind,
  // Unavailable (with how to start one) when there is no server.
  nlohmann::json call(std::string_view method, const std::string& path, const nlohmann::json& body = {});
  const std::string& url() const { return url_; }

 private:
  Context& context_;
  std::string url_;
  HttpClient http_;
};

}  // namespace kiln::cli
