#include "resolvers/page.h"

#include "base/error.h"
#include "base/text.h"

namespace kiln::resolvers {
namespace {

constexpr int kRedirectLimit = 10;

bool is_private(const Url& url) {
  return is_private_address(url.host) || is_loopback_host(url.host);
}

Error no_success(const std::string& url, int status) {
  const std::string answer = std::to_string(status) + " " + std::string(http_reason(status));
  if (status == 404 || status == 410)
    return Error(ErrorKind::NotFound, "requested URL '" + url + "' is not found", "check the URL");
  if (status == 401 || status == 403)
    return Error(ErrorKind::Failed, "requested URL '" + url + "' is not for everybody (" + answer + ")",
                 "Kiln sends no credentials with it; save the document to a file and pass that file too");
  return Error(ErrorKind::Unavailable, "requested URL '" + url + "': the server answers " + answer,
               "try again later");
}

}  // namespace

std::string get_page(const HttpClient& http, const std::string& url, uint64_t limit, std::stop_token stop) {
  auto at = Url::parse(url);
  if (!at)
    throw Error(ErrorKind::Invalid, "url " + url + " is not a valid http(s) url",
                "write http://… or https://…, without a user name in it");
  const bool may_be_private = is_private(*at);
  for (int hops = 0; hops <= kRedirectLimit; ++hops) {
    std::string text;
    const HttpSink keep = [&](const HttpResponse&, std::string_view bytes) {
      if (text.size() + bytes.size() > limit)
        throw Error(ErrorKind::Invalid, "requested URL '" + url + "' is larger than " + format_bytes(limit));
      text += bytes;
    };
    const HttpResponse response =
        http.send({.url = at->text(), .public_only = !may_be_private && hops > 0}, keep, stop);
    if (response.ok()) return text;
    const std::string_view location = response.headers.get("Location");
    if (response.status < 300 || response.status >= 400 || location.empty())
      throw no_success(url, response.status);
    const auto next = at->resolve(location);
    if (!next || (at->scheme == "https" && next->scheme != "https"))
      throw Error(ErrorKind::Unavailable, "requested URL '" + url + "' redirects to " +
                                              std::string(location.substr(0, 200)) +
                                              ", which is not followed");
    at = next;
  }
  throw Error(ErrorKind::Unavailable, "requested URL '" + url + "' redirects in circles");
}

}  // namespace kiln::resolvers
