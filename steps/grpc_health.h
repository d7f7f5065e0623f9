#pragma once

#include <span>
#include <string>
#include <string_view>

// grpc.health.v1.Health/Check without a gRPC library: the message of one string goes out, that of one number
// comes back (gRPC over HTTP/2; the GRPC Health Checking Protocol).
namespace kiln::steps {

// The body of the request, with the five bytes that stand before every gRPC message.
std::string health_check_request(std::string_view service);

// What an answer says is wrong, "" when the service is SERVING. `header_lines` are those of the head and of
// the trailer, where the status of a call is.
std::string health_problem(long http_status, std::span<const std::string> header_lines,
                           std::string_view body);

}  // namespace kiln::steps
