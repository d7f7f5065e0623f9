#include "steps/ask_probe.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/text.h"
#include "steps/grpc_health.h"
#include "steps/probe_transfer.h"

namespace kiln::steps {
namespace {

constexpr int kMostRedirects = 10;

// Where the probe asks, as a URL without a path.
std::string origin_of(const Probe& probe) {
  std::string host = probe.host.empty() ? "localhost" : probe.host;
  if (host.find(':') != std::string::npos && !host.starts_with('[')) host = "[" + host + "]";
  return std::string(probe.https ? "https://" : "http://") + host + ":" + std::to_string(probe.port);
}

ProbeRequest request_for(const Probe& probe, Sandbox& sandbox, const Dial& dial) {
  ProbeRequest request{.url = origin_of(probe),
                       .target = {},
                       .socket = {},
                       .headers = {},
                       .body = {},
                       .timeout = std::chrono::ceil<std::chrono::milliseconds>(probe.timeout)};
  if (probe.host.empty()) request.socket = [&] { return dial(sandbox); };
  return request;
}

std::string place_of(const Probe& probe) {
  return (probe.host.empty() ? "port " : probe.host + " port ") + std::to_string(probe.port);
}

std::string ask_tcp(const Probe& probe, ProbeRequest request, const std::stop_token& stop) {
  request.connect_only = true;
  const ProbeAnswer answer = send(request, stop);
  return answer.code == CURLE_OK ? "" : place_of(probe) + ": " + answer.problem;
}

// What a request line can hold of a path that somebody wrote into a document.
std::string request_target(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f)
      out += "%" + hex(std::string_view(&c, 1));
    else
      out += c;
  }
  return out;
}

// As the kubelet: redirects are followed on the same host, and one that leads elsewhere is a good answer.
std::string ask_http(const Probe& probe, ProbeRequest request, const std::stop_token& stop) {
  const std::string origin = request.url, what = "GET " + probe.path + " on " + place_of(probe);
  const auto is_given = [&](std::string_view name) {
    return std::ranges::any_of(probe.headers, [&](const auto& one) { return to_lower(one.first) == name; });
  };
  request.headers = probe.headers;
  if (!is_given("user-agent")) request.headers.emplace_back("User-Agent", "kube-probe/kiln");
  request.target = request_target(probe.path);
  for (int redirects = 0;; ++redirects) {
    const ProbeAnswer answer = send(request, stop);
    if (answer.status == 0)
      return answer.code == CURLE_UNSUPPORTED_PROTOCOL || answer.code == CURLE_WEIRD_SERVER_REPLY ||
                     answer.code == CURLE_GOT_NOTHING
                 ? what + " was answered with no HTTP"
                 : what + ": " + answer.problem;
    if (answer.status < 200 || answer.status >= 400)
      return what + ": status " + std::to_string(answer.status);
    const bool same_host = answer.redirect.starts_with(origin + "/");
    if (answer.status < 300 || !same_host) return {};
    if (redirects == kMostRedirects) return what + ": redirected more than 10 times";
    request.target = answer.redirect.substr(origin.size());
  }
}

std::string ask_grpc(const Probe& probe, ProbeRequest request, const std::stop_token& stop) {
  request.url += "/grpc.health.v1.Health/Check";
  request.http2 = true;
  request.headers = {
      {"Content-Type", "application/grpc"}, {"TE", "trailers"}, {"User-Agent", "kube-probe/kiln"}};
  request.body = health_check_request(probe.service);
  const ProbeAnswer answer = send(request, stop);
  if (answer.status == 0) return place_of(probe) + ": " + answer.problem;
  const std::string problem = health_problem(answer.status, answer.header_lines, answer.body);
  return problem.empty() ? "" : place_of(probe) + ": " + problem;
}

}  // namespace

std::string ask(const Probe& probe, Sandbox& sandbox, const Dial& dial, const std::stop_token& stop) {
  switch (probe.kind) {
    case Probe::Kind::TcpSocket:
      return ask_tcp(probe, request_for(probe, sandbox, dial), stop);
    case Probe::Kind::HttpGet:
      return ask_http(probe, request_for(probe, sandbox, dial), stop);
    case Probe::Kind::Grpc:
      return ask_grpc(probe, request_for(probe, sandbox, dial), stop);
    case Probe::Kind::Exec:
      break;
  }
  const std::optional<int> code = sandbox.exec(probe.command, probe.timeout);
  if (!code) return "no answer within " + format_seconds(seconds(probe.timeout));
  if (*code != 0) return join(probe.command, " ") + " exited with code " + std::to_string(*code);
  return {};
}

}  // namespace kiln::steps
