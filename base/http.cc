#include "base/http.h"

#include <arpa/inet.h>
#include <charconv>
#include <cstring>

#include "base/text.h"

namespace kiln {

std::string_view HttpHeaders::get(std::string_view name) const {
  for (const Field& field : fields_)
    if (iequals(field.first, name)) return field.second;
  return {};
}

bool HttpHeaders::has(std::string_view name) const {
  for (const Field& field : fields_)
    if (iequals(field.first, name)) return true;
  return false;
}

std::vector<std::string_view> HttpHeaders::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const Field& field : fields_)
    if (iequals(field.first, name)) values.push_back(field.second);
  return values;
}

bool HttpHeaders::has_token(std::string_view name, std::string_view token) const {
  for (const Field& field : fields_) {
    if (!iequals(field.first, name)) continue;
    std::string_view rest = field.second;
    for (;;) {
      const size_t comma = rest.find(',');
      if (iequals(trim(rest.substr(0, comma)), token)) return true;
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  return false;
}

void HttpHeaders::set(std::string_view name, std::string value) {
  remove(name);
  add(std::string(name), std::move(value));
}

void HttpHeaders::remove(std::string_view name) {
  std::erase_if(fields_, [&](const Field& field) { return iequals(field.first, name); });
}

std::string_view http_reason(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 507:
      return "Insufficient Storage";
    default:
      return "Unknown";
  }
}

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string percent_decode(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += plus_is_blank && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

std::string percent_encode(std::string_view text, std::string_view keep) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved || keep.find(c) != std::string_view::npos) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!query.empty()) {
    const size_t ampersand = query.find('&');
    const std::string_view part = query.substr(0, ampersand);
    if (!part.empty()) {
      const size_t equals = part.find('=');
      out.emplace_back(
          percent_decode(part.substr(0, equals), true),
          equals == std::string_view::npos ? std::string{} : percent_decode(part.substr(equals + 1), true));
    }
    if (ampersand == std::string_view::npos) break;
    query.remove_prefix(ampersand + 1);
  }
  return out;
}

std::optional<Url> Url::parse(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '\\') return std::nullopt;
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos) return std::nullopt;
  Url url;
  url.scheme = to_lower(text.substr(0, colon));
  if (url.scheme != "http" && url.scheme != "https") return std::nullopt;
  url.port = url.scheme == "https" ? 443 : 80;
  text.remove_prefix(colon + 3);
  const size_t end = text.find_first_of("/?#");
  std::string_view authority = text.substr(0, end);
  std::string_view rest = end == std::string_view::npos ? std::string_view{} : text.substr(end);
  rest = rest.substr(0, rest.find('#'));
  if (authority.find('@') != std::string_view::npos) return std::nullopt;
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    url.host = to_lower(authority.substr(1, close - 1));
    in6_addr address;
    if (::inet_pton(AF_INET6, url.host.c_str(), &address) != 1) return std::nullopt;
    authority.remove_prefix(close + 1);
    if (!authority.empty() && authority[0] != ':') return std::nullopt;
    if (!authority.empty()) port = authority.substr(1);
  } else {
    const size_t mark = authority.find(':');
    url.host = to_lower(authority.substr(0, mark));
    if (mark != std::string_view::npos) port = authority.substr(mark + 1);
    for (const char c : url.host)
      if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'))
        return std::nullopt;
  }
  if (url.host.empty()) return std::nullopt;
  if (!port.empty()) {
    const auto [at, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (error != std::errc{} || at != port.data() + port.size() || url.port == 0) return std::nullopt;
  }
  url.target = rest.starts_with('/') ? std::string(rest) : "/" + std::string(rest);
  return url;
}

std::optional<Url> Url::resolve(std::string_view reference) const {
  if (reference.find("://") != std::string_view::npos &&
      reference.find("://") < reference.find_first_of("/?#"))
    return parse(reference);
  if (reference.starts_with("//")) return parse(scheme + ":" + std::string(reference));
  const std::string base = scheme + "://" + authority();
  if (reference.starts_with('/')) return parse(base + std::string(reference));
  const std::string path = target.substr(0, target.find('?'));
  if (reference.starts_with('?')) return parse(base + path + std::string(reference));
  return parse(base + path.substr(0, path.rfind('/') + 1) + std::string(reference));
}

std::string Url::authority() const {
  std::string out = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  if (port != (scheme == "https" ? 443 : 80)) out += ":" + std::to_string(port);
  return out;
}

bool is_loopback_host(std::string_view host) {
  const std::string name = to_lower(host);
  if (name == "localhost" || name.ends_with(".localhost") || name == "::1" || name == "[::1]") return true;
  in_addr address;
  return ::inet_pton(AF_INET, name.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

namespace {

// The IPv4 address that a host names, also by "127.1", "0x7f000001" or inside an IPv6 address.
std::optional<uint32_t> ipv4_of(const std::string& name) {
  in_addr v4;
  if (::inet_aton(name.c_str(), &v4) != 0) return ntohl(v4.s_addr);
  in6_addr v6;
  if (::inet_pton(AF_INET6, name.c_str(), &v6) != 1) return std::nullopt;
  if (!IN6_IS_ADDR_V4MAPPED(&v6) && !IN6_IS_ADDR_V4COMPAT(&v6)) return std::nullopt;
  uint32_t low;
  std::memcpy(&low, v6.s6_addr + 12, 4);
  return ntohl(low);
}

}  // namespace

bool is_private_address(std::string_view host) {
  const std::string name = to_lower(host);
  if (is_loopback_host(name)) return true;
  if (const auto a = ipv4_of(name))
    return (*a >> 24) == 0 || (*a >> 24) == 10 || (*a >> 24) == 127 || (*a >> 20) == 0xac1 ||
           (*a >> 16) == 0xc0a8 || (*a >> 16) == 0xa9fe || (*a >> 22) == (0x64400000u >> 22) ||
           (*a >> 28) >= 0xe;
  in6_addr v6;
  if (::inet_pton(AF_INET6, name.c_str(), &v6) != 1) return false;
  return IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) || IN6_IS_ADDR_MULTICAST(&v6) ||
         (v6.s6_addr[0] & 0xfe) == 0xfc;
}

bool is_link_local_address(std::string_view host) {
  const std::string name(host);
  if (const auto a = ipv4_of(name)) return (*a >> 16) == 0xa9fe;
  in6_addr v6;
  return ::inet_pton(AF_INET6, name.c_str(), &v6) == 1 && IN6_IS_ADDR_LINKLOCAL(&v6);
}

}  // namespace kiln
