#include "serving/request_head.h"

#include <algorithm>

#include "base/text.h"

namespace kiln::serving {
namespace {

// Fields that speak of one connection only (RFC 9110 section 7.6.1), and those that are written anew.
bool is_hop_by_hop(std::string_view name) {
  for (const char* hop :
       {"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "TE",
        "Trailer", "Transfer-Encoding", "Upgrade", "HTTP2-Settings", "Content-Length", "Expect"})
    if (iequals(name, hop)) return true;
  return false;
}

// All values of a list field, joined, and one more.
std::string with_earlier(const HttpHeaders& headers, std::string_view name, const std::string& added) {
  std::string out;
  for (const std::string_view value : headers.all(name))
    if (!value.empty()) out.append(value).append(", ");
  return out + added;
}

// "http://host/path" → "/path": instances are not proxies.
std::string origin_form(std::string_view target) {
  const size_t scheme = target.find("://");
  if (target.starts_with('/') || scheme == std::string_view::npos) return std::string(target);
  const size_t path = target.find_first_of("/?", scheme + 3);
  if (path == std::string_view::npos) return "/";
  return (target[path] == '?' ? "/" : "") + std::string(target.substr(path));
}

}  // namespace

bool wants_tunnel(const HttpExchange& exchange) {
  return exchange.wants_upgrade() && exchange.headers().has("Upgrade") &&
         !exchange.headers().has_token("Upgrade", "h2c");
}

std::string request_head(const HttpExchange& exchange, bool upgrade) {
  const HttpHeaders& headers = exchange.headers();
  const bool names_fields = headers.has("Connection");
  std::string head;
  head.reserve(1024);
  head.append(exchange.method()).append(" ").append(origin_form(exchange.target())).append(" HTTP/1.1\r\n");
  const auto add = [&](std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  for (const auto& [name, value] : headers) {
    const bool ours = iequals(name, "X-Forwarded-For") || iequals(name, "X-Forwarded-Proto") ||
                      iequals(name, "X-Forwarded-Host") || iequals(name, "Forwarded");
    // Host stays whatever Connection says of it: without it the request would be another one.
    const bool named = names_fields && headers.has_token("Connection", name) && !iequals(name, "Host");
    if (!ours && !named && !is_hop_by_hop(name)) add(name, value);
  }
  std::string client = exchange.remote_address();  // "1.2.3.4:5" or "[::1]:5"
  client.resize(std::min(client.size(), client.rfind(':')));
  const bool v6 = client.starts_with('[');
  add("X-Forwarded-For",
      with_earlier(headers, "X-Forwarded-For", v6 ? client.substr(1, client.size() - 2) : client));
  add("X-Forwarded-Proto", "http");
  add("X-Forwarded-Host", exchange.header("Host"));
  add("Forwarded",
      with_earlier(headers, "Forwarded", "for=" + (v6 ? "\"" + client + "\"" : client) + ";proto=http"));
  if (upgrade) {
    add("Connection", "Upgrade");
    add("Upgrade", exchange.header("Upgrade"));
  }
  if (const auto length = exchange.content_length()) {
    if (*length > 0 || headers.has("Content-Length")) add("Content-Length", std::to_string(*length));
  } else {
    add("Transfer-Encoding", "chunked");
  }
  head += "\r\n";
  return head;
}

HttpHeaders end_to_end(const HttpHeaders& headers) {
  const bool names_fields = headers.has("Connection");
  HttpHeaders kept;
  for (const auto& [name, value] : headers)
    if (!is_hop_by_hop(name) && !iequals(name, "Date") &&
        !(names_fields && headers.has_token("Connection", name)))
      kept.add(name, value);
  return kept;
}

}  // namespace kiln::serving
