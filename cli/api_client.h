#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/http_client.h"

namespace kiln::cli {

class Context;

// Speaks to a running `kiln serve`.
class ApiClient {
 public:
  explicit ApiClient(Context& context);

  // `path` below /apis/serving.knative.dev/v1/. Throws what the server says as an Error of the fitting kind,
  // Unavailable (with how to start one) when there is no server.
  nlohmann::json call(std::string_view method, const std::string& path, const nlohmann::json& body = {});
  // Throws Unavailable as call() does when no server answers.
  void check();
  // Tells the server of a run in the journal that is the server's. NotFound: its folders are others.
  void start_run(const std::string& run);
  const std::string& url() const { return url_; }

 private:
  nlohmann::json send(std::string_view method, const std::string& path, const nlohmann::json& body);

  Context& context_;
  std::string url_;
  HttpClient http_;
};

}  // namespace kiln::cli
