// The parts of HttpExchange that need no connection.
#include "base/http_server.h"

namespace kiln {

std::string_view HttpExchange::path() const {
  const std::string_view whole = target();
  return whole.substr(0, whole.find('?'));
}

std::string_view HttpExchange::query() const {
  const std::string_view whole = target();
  const size_t mark = whole.find('?');
  return mark == std::string_view::npos ? std::string_view{} : whole.substr(mark + 1);
}

std::optional<std::string> HttpExchange::query_value(std::string_view name) const {
  for (auto& [key, value] : parse_query(query()))
    if (key == name) return std::move(value);
  return std::nullopt;
}

std::vector<std::string> HttpExchange::query_values(std::string_view name) const {
  std::vector<std::string> values;
  for (auto& [key, value] : parse_query(query()))
    if (key == name) values.push_back(std::move(value));
  return values;
}

std::string_view HttpExchange::host() const {
  const std::string_view value = headers().get("Host");
  if (value.starts_with('[')) return value.substr(0, std::min(value.find(']'), value.size() - 1) + 1);
  return value.substr(0, value.find(':'));
}

Awaitable<void> HttpExchange::respond_json(int status, std::string_view json) {
  return respond(status, HttpHeaders().with("Content-Type", "application/json"), json);
}

}  // namespace kiln
