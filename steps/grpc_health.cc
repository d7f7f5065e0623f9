#include "steps/grpc_health.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

#include "base/http.h"
#include "base/text.h"

namespace kiln::steps {
namespace {

constexpr size_t kPrefix = 5;  // compressed or not, then the length in four bytes

// Protocol Buffers: seven bits a byte, the lowest first; the top bit says that more follow.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

std::optional<uint64_t> take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; !bytes.empty() && shift < 64; shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// HealthCheckResponse.status (field 1, an enumeration; 0 when it is left out). Other fields are skipped.
std::optional<uint64_t> serving_status(std::string_view message) {
  uint64_t status = 0;
  while (!message.empty()) {
    const auto tag = take_varint(message);
    if (!tag) return std::nullopt;
    const auto wire_type = *tag & 7;
    if (wire_type != 0 && wire_type != 2) return std::nullopt;
    const auto value = take_varint(message);
    if (!value) return std::nullopt;
    if (*tag == 1 << 3) status = *value;
    if (wire_type == 2 && *value > message.size()) return std::nullopt;
    if (wire_type == 2) message.remove_prefix(*value);
  }
  return status;
}

std::optional<std::string> value_of(std::span<const std::string> lines, std::string_view name) {
  for (const std::string& line : lines)
    if (const size_t colon = line.find(':'); colon == name.size() && to_lower(line.substr(0, colon)) == name)
      return std::string(trim(std::string_view(line).substr(colon + 1)));
  return std::nullopt;
}

}  // namespace

std::string health_check_request(std::string_view service) {
  std::string message;
  if (!service.empty()) message = "\x0a" + varint(service.size()) + std::string(service);
  std::string out(kPrefix, '\0');
  for (size_t i = 0; i < 4; ++i) out[1 + i] = static_cast<char>(message.size() >> (8 * (3 - i)));
  return out + message;
}

std::string health_problem(long http_status, std::span<const std::string> header_lines,
                           std::string_view body) {
  if (http_status != 200) return "gRPC was answered with status " + std::to_string(http_status);
  const auto status = value_of(header_lines, "grpc-status");
  if (!status) return "was answered with no gRPC";
  if (*status == "12") return "the server has no grpc.health.v1.Health";
  if (*status == "5") return "the server knows no such service";
  if (*status != "0")
    return "gRPC status " + *status + " " +
           percent_decode(value_of(header_lines, "grpc-message").value_or(""));
  const auto serving =
      body.size() < kPrefix || body.front() != 0 ? std::nullopt : serving_status(body.substr(kPrefix));
  constexpr std::array<const char*, 4> kNames{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  if (!serving || *serving >= kNames.size()) return "its health is no HealthCheckResponse";
  return *serving == 1 ? "" : std::string("the service is ") + kNames[*serving];
}

}  // namespace kiln::steps
