#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What HTTP client and server share (RFC 9110): header fields, and the pieces of a URL.
namespace kiln {

// Header fields in the order they came. Names compare without case; a name may occur several times.
class HttpHeaders {
 public:
  using Field = std::pair<std::string, std::string>;

  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<Field> fields) : fields_(fields) {}
  // For building a value inside a co_await expression, where GCC 12 cannot compile a braced list:
  // HttpHeaders().with("A", "1").with("B", "2").
  HttpHeaders&& with(std::string name, std::string value) && {
    add(std::move(name), std::move(value));
    return std::move(*this);
  }

  // The first value, empty when there is none. The view lives as long as the field is not changed.
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;
  // True when the comma-separated values of `name` contain `token` ("Connection: keep-alive, Upgrade").
  bool has_token(std::string_view name, std::string_view token) const;

  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  void set(std::string_view name, std::string value);  // replaces all of that name
  void remove(std::string_view name);

  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }
  size_t size() const { return fields_.size(); }

 private:
  std::vector<Field> fields_;
};

// Reason phrase of a status code, "Unknown" for a code that has none.
std::string_view http_reason(int status);

// %XX → byte; malformed escapes stay as they are. In a query, `+` means a blank.
std::string percent_decode(std::string_view text, bool plus_is_blank = false);
// Everything but RFC 3986's unreserved characters (and those in `keep`) as %XX.
std::string percent_encode(std::string_view text, std::string_view keep = {});

// "a=1&b" → {{"a","1"},{"b",""}}, decoded.
std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query);

// An absolute http or https URL in its pieces.
struct Url {
  std::string scheme;  // lower case
  std::string host;    // lower case, IPv6 without brackets
  uint16_t port = 0;   // the scheme's own when not given
  std::string target;  // path and query, at least "/"

  // nullopt for anything but http(s), for user info, control characters and blanks.
  static std::optional<Url> parse(std::string_view text);
  // `reference` as a Location header gives it (absolute, "//host/…", "/path" or relative), seen from this
  // URL.
  std::optional<Url> resolve(std::string_view reference) const;
  std::string authority() const;  // host[:port], the port only when it is not the scheme's own
  std::string text() const { return scheme + "://" + authority() + target; }
  bool operator==(const Url&) const = default;
};

// "localhost", 127.0.0.0/8, ::1: the machine itself, where plain http is the rule and proxies are not asked.
bool is_loopback_host(std::string_view host);

// True for literal addresses that are not for the public network: loopback, link-local, private, unspecified,
// multicast, carrier-grade NAT, unique local. Names are not looked up.
bool is_private_address(std::string_view host);
// 169.254/16 and fe80::/10, also in IPv6 disguise: where clouds serve a machine its keys.
bool is_link_local_address(std::string_view host);

}  // namespace kiln
