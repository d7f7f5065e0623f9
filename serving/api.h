#pragma once

#include "base/http_server.h"
#include "serving/serving.h"

namespace kiln::serving {

// The Kubernetes-style API of the serving layer, below /apis/serving.knative.dev/v1/namespaces/{ns}/:
//
//   services                GET list, POST create (409 when it exists)
//   services/{name}         GET, PUT create or replace, DELETE
//   configurations, routes, revisions and …/{name}   GET
// and lists of all namespaces at /apis/serving.knative.dev/v1/{services,…}, and discovery, so that `kubectl
// get` works.
//
// `GET services/{name}?ready=NAME&timeoutSeconds=N` waits until revision NAME is no longer deploying (kiln's
// own addition: what `kiln deploy` waits with). Errors are Kubernetes Status objects.
Awaitable<void> serve_api(Serving& serving, HttpExchange& exchange);
bool is_api_path(std::string_view path);

}  // namespace kiln::serving
